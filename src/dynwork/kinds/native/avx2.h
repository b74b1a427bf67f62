/* The path of AVX2: four chains in vectors and one beside them. Eight in vectors would need more than its 16 registers and are
 * slower.
 *
 * There is no rotation: two shifts and an exclusive or, except by 8 bits, which is one shuffle of bytes. General registers
 * have one that leaves its operand with BMI2, which came with AVX2.
 */
#include <immintrin.h>

typedef uint64_t vec4_t __attribute__((vector_size(32)));

static int avx2_runs_here(void)
{
    __builtin_cpu_init(); /* the compilers' manuals ask for it where constructors may not have run */
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
}

#define RIGHT_BY_8 8, 15, 14, 13, 12, 11, 10, 9, 0, 7, 6, 5, 4, 3, 2, 1
#define SHIFTED(x, n) ((x) >> (n)) ^ ((x) << (64 - (n)))
#define BYTES_SHIFTED(x) ((vec4_t)_mm256_shuffle_epi8((__m256i)(x), _mm256_set_epi8(RIGHT_BY_8, RIGHT_BY_8)))

#define VEC vec4_t
#define LANE(v, l) ((v)[l])
#define TARGET __attribute__((target("avx2,bmi,bmi2")))
#define wide_ALL(x) ((vec4_t)_mm256_set1_epi64x((long long)(x)))
#define wide_SUM0(x) (SHIFTED(x, 28) ^ SHIFTED(x, 34) ^ SHIFTED(x, 39))
#define wide_SUM1(x) (SHIFTED(x, 14) ^ SHIFTED(x, 18) ^ SHIFTED(x, 41))
#define wide_SIGMA0(x) (SHIFTED(x, 1) ^ BYTES_SHIFTED(x) ^ ((x) >> 7))
#define wide_SIGMA1(x) (SHIFTED(x, 19) ^ SHIFTED(x, 61) ^ ((x) >> 6))
#define wide_CH lone_CH
#define wide_KEEP lone_KEEP
#define wide_MAJ lone_MAJ

#define STEPS avx2_4
#define LANES 4
#define COMPANION 0
#include "steps.h"

#define STEPS avx2_5
#define LANES 4
#define COMPANION 1
#include "steps.h"
#include "forget.h"

typedef uint64_t vec2_t __attribute__((vector_size(16)));

#define STEPS avx2_alone
#define TARGET __attribute__((target("avx2,bmi,bmi2")))
#define PAIR(x) ((vec2_t)(x))
#define PAIR_SIGMA0(x)                                                                                                \
    ((__m128i)(SHIFTED(PAIR(x), 1) ^ PAIR(_mm_shuffle_epi8(x, _mm_set_epi8(RIGHT_BY_8))) ^ (PAIR(x) >> 7)))
#define PAIR_SIGMA1(x) ((__m128i)(SHIFTED(PAIR(x), 19) ^ SHIFTED(PAIR(x), 61) ^ (PAIR(x) >> 6)))
#include "alone.h"
#undef PAIR

static const width_t avx2_widths[] = {{1, avx2_alone}, {4, avx2_4}, {5, avx2_5}};
