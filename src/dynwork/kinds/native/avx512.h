/* The path of AVX-512: eight chains in vectors and one beside them; four when no more are there, for CPUs that make 512 bits in
 * two halves need almost half the time for half of them.
 *
 * Rotations are one instruction, and so is any function of three operands bit by bit: its eight results, for the operands'
 * bits 000 to 111, are the constant.
 */
#include <immintrin.h>

typedef uint64_t vec8_t __attribute__((vector_size(64)));

#define XOR3 0x96   /* a ^ b ^ c */
#define CHOOSE 0xca /* a ? b : c */
#define MAJORITY 0xe8

static int avx512_runs_here(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("bmi") &&
           __builtin_cpu_supports("bmi2");
}

/* BY(op, x, n) shifts or rotates, OF_3(a, b, c, f) is the function f; one pair of them for each width, below. */
#define wide_SUM0(x) OF_3(BY(ror, x, 28), BY(ror, x, 34), BY(ror, x, 39), XOR3)
#define wide_SUM1(x) OF_3(BY(ror, x, 14), BY(ror, x, 18), BY(ror, x, 41), XOR3)
#define wide_SIGMA0(x) OF_3(BY(ror, x, 1), BY(ror, x, 8), BY(srli, x, 7), XOR3)
#define wide_SIGMA1(x) OF_3(BY(ror, x, 19), BY(ror, x, 61), BY(srli, x, 6), XOR3)
#define wide_CH(e, f, g) OF_3(e, f, g, CHOOSE)
#define wide_KEEP(a, b) (a)
#define wide_MAJ(ab, bc, a, b, c) ((void)bc, OF_3(a, b, c, MAJORITY))
#define LANE(v, l) ((v)[l])
#define TARGET __attribute__((target("avx512f,avx512vl,bmi,bmi2,tune=skylake-avx512")))

#define VEC vec8_t
#define BY(op, x, n) _mm512_##op##_epi64((__m512i)(x), n)
#define OF_3(a, b, c, f) ((vec8_t)_mm512_ternarylogic_epi64((__m512i)(a), (__m512i)(b), (__m512i)(c), f))
#define wide_ALL(x) ((vec8_t)_mm512_set1_epi64((long long)(x)))
#define STEPS avx512_8
#define LANES 8
#define COMPANION 0
#include "steps.h"
#define STEPS avx512_9
#define LANES 8
#define COMPANION 1
#include "steps.h"
#undef VEC
#undef BY
#undef OF_3
#undef wide_ALL

#define VEC vec4_t
#define BY(op, x, n) _mm256_##op##_epi64((__m256i)(x), n)
#define OF_3(a, b, c, f) ((vec4_t)_mm256_ternarylogic_epi64((__m256i)(a), (__m256i)(b), (__m256i)(c), f))
#define wide_ALL(x) ((vec4_t)_mm256_set1_epi64x((long long)(x)))
#define STEPS avx512_4
#define LANES 4
#define COMPANION 0
#include "steps.h"
#undef BY
#undef OF_3
#include "forget.h"

#define STEPS avx512_alone
#define TARGET __attribute__((target("avx512f,avx512vl,bmi,bmi2")))
#define PAIR_XOR3(a, b, c) _mm_ternarylogic_epi64(a, b, c, XOR3)
#define PAIR_SIGMA0(x) PAIR_XOR3(_mm_ror_epi64(x, 1), _mm_ror_epi64(x, 8), _mm_srli_epi64(x, 7))
#define PAIR_SIGMA1(x) PAIR_XOR3(_mm_ror_epi64(x, 19), _mm_ror_epi64(x, 61), _mm_srli_epi64(x, 6))
#include "alone.h"
#undef PAIR_XOR3

static const width_t avx512_widths[] = {
    {1, avx512_alone}, {4, avx512_4}, {8, avx512_8}, {9, avx512_9},
};
