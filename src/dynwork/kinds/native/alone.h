/* Template: a function that advances one chain, which has the core to itself.
 *
 * The rounds of one chain wait for each other, and they need the general registers, whose rotations take one instruction.
 * The message schedule waits for no round: the vector unit, idle otherwise, works it out two words at a time, 16 words
 * ahead of the rounds, and leaves them in memory with their constants added.
 *
 * Included by a file that defines
 *     STEPS            the function's name
 *     TARGET           the attribute that allows the instructions it needs: SSSE3 at least, and BMI2 for speed
 *     PAIR_SIGMA0(x), PAIR_SIGMA1(x)     the schedule's functions of FIPS 180-4, 4.1.3, on two words
 * and forgets again. lone.h comes before. See steps.h for what is known of the block beforehand.
 */

/* The two streams share few registers: the compiler must order them before it gives registers away, which it does not do by
 * itself on x86 (5 % in speed). */
#if defined(__GNUC__) && !defined(__clang__)
#define SCHEDULED __attribute__((optimize("schedule-insns", "no-tree-ter")))
#else
#define SCHEDULED
#endif

/* As in steps.h, but what is known before the new `e` of the round before is summed first, for the next round waits for it. */
#define ROUND(a, b, c, d, e, f, g, h, kw)                                                                             \
    do {                                                                                                              \
        uint64_t early = h + (kw) + ((e & f) + (~e & g));                                                             \
        uint64_t sum1 = lone_SUM1(e);                                                                                 \
        uint64_t ab = a ^ b;                                                                                          \
        uint64_t majority = b ^ (ab & bc);                                                                            \
        d = d + early + sum1;                                                                                         \
        h = early + sum1 + majority + lone_SUM0(a);                                                                   \
        bc = ab;                                                                                                      \
    } while (0)

#define TWO_ROUNDS(a, b, c, d, e, f, g, h, kw0, kw1)                                                                  \
    ROUND(a, b, c, d, e, f, g, h, kw0);                                                                               \
    ROUND(h, a, b, c, d, e, f, g, kw1)

/* Pair p of the schedule takes the place of the pair 8 before it. It is made of that pair, of the words 1, 9 and 10 after
 * that pair's first, which straddle two pairs each, and of the pair just before. */
#define NEXT_PAIR(p, p1, p4, p5, p7)                                                                                  \
    w[p] = _mm_add_epi64(_mm_add_epi64(w[p], _mm_alignr_epi8(w[p5], w[p4], 8)),                                       \
                         _mm_add_epi64(PAIR_SIGMA0(_mm_alignr_epi8(w[p1], w[p], 8)), PAIR_SIGMA1(w[p7])));             \
    _mm_store_si128((__m128i *)(next + 2 * (p)), _mm_add_epi64(w[p], _mm_load_si128((const __m128i *)(k + 2 * (p)))))

#define NO_PAIR(p, p1, p4, p5, p7)

/* The rounds of 16 words that are ready; after two rounds PAIR may put the words 16 later into the places of theirs. */
#define SIXTEEN_ROUNDS(PAIR)                                                                                          \
    TWO_ROUNDS(a, b, c, d, e, f, g, h, next[0], next[1]);                                                             \
    PAIR(0, 1, 4, 5, 7);                                                                                              \
    TWO_ROUNDS(g, h, a, b, c, d, e, f, next[2], next[3]);                                                             \
    PAIR(1, 2, 5, 6, 0);                                                                                              \
    TWO_ROUNDS(e, f, g, h, a, b, c, d, next[4], next[5]);                                                             \
    PAIR(2, 3, 6, 7, 1);                                                                                              \
    TWO_ROUNDS(c, d, e, f, g, h, a, b, next[6], next[7]);                                                             \
    PAIR(3, 4, 7, 0, 2);                                                                                              \
    TWO_ROUNDS(a, b, c, d, e, f, g, h, next[8], next[9]);                                                             \
    PAIR(4, 5, 0, 1, 3);                                                                                              \
    TWO_ROUNDS(g, h, a, b, c, d, e, f, next[10], next[11]);                                                           \
    PAIR(5, 6, 1, 2, 4);                                                                                              \
    TWO_ROUNDS(e, f, g, h, a, b, c, d, next[12], next[13]);                                                           \
    PAIR(6, 7, 2, 3, 5);                                                                                              \
    TWO_ROUNDS(c, d, e, f, g, h, a, b, next[14], next[15]);                                                           \
    PAIR(7, 0, 3, 4, 6)

SCHEDULED TARGET static void STEPS(chain_t *const *lane, uint64_t steps)
{
    uint64_t buffer[16] __attribute__((aligned(16)));
    uint64_t *next = buffer; /* 16 words of the schedule with their constants, where the rounds find them */
    uint64_t state[STATE_WORDS];
    HIDE(next); /* else the compiler takes the pairs apart in registers */
    for (int i = 0; i < STATE_WORDS; i++)
        state[i] = lane[0]->word[i];

    while (steps--) {
        const folded_t *known = &chain_folded;
        HIDE(known);
        const uint64_t *k = known->k, *iv = known->iv;
        uint64_t a, b, c, d, e, f, g, h, bc;
        __m128i w[8];
        for (int p = 0; p < 4; p++)
            w[p] = _mm_set_epi64x((long long)state[2 * p + 1], (long long)state[2 * p]);
        w[4] = _mm_set_epi64x(0, (long long)known->w8);
        w[5] = w[6] = _mm_setzero_si128();
        w[7] = _mm_set_epi64x((long long)known->w15, 0);

        a = iv[0], b = iv[1], c = iv[2], e = iv[4], f = iv[5], g = iv[6];
        h = state[0] + known->a1;
        d = state[0] + known->e1;
        bc = a ^ b;
        ROUND(h, a, b, c, d, e, f, g, state[1] + k[1]);
        const uint64_t *first = k;
        k += 16;
        NEXT_PAIR(0, 1, 4, 5, 7);
        TWO_ROUNDS(g, h, a, b, c, d, e, f, state[2] + first[2], state[3] + first[3]);
        NEXT_PAIR(1, 2, 5, 6, 0);
        TWO_ROUNDS(e, f, g, h, a, b, c, d, state[4] + first[4], state[5] + first[5]);
        NEXT_PAIR(2, 3, 6, 7, 1);
        TWO_ROUNDS(c, d, e, f, g, h, a, b, state[6] + first[6], state[7] + first[7]);
        NEXT_PAIR(3, 4, 7, 0, 2);
        TWO_ROUNDS(a, b, c, d, e, f, g, h, first[8], first[9]);
        NEXT_PAIR(4, 5, 0, 1, 3);
        TWO_ROUNDS(g, h, a, b, c, d, e, f, first[10], first[11]);
        NEXT_PAIR(5, 6, 1, 2, 4);
        TWO_ROUNDS(e, f, g, h, a, b, c, d, first[12], first[13]);
        NEXT_PAIR(6, 7, 2, 3, 5);
        TWO_ROUNDS(c, d, e, f, g, h, a, b, first[14], first[15]);
        NEXT_PAIR(7, 0, 3, 4, 6);

        for (int block = 1; block < 4; block++) {
            k += 16;
            HIDE(k);
            SIXTEEN_ROUNDS(NEXT_PAIR);
        }
        SIXTEEN_ROUNDS(NO_PAIR);
        state[0] = a + iv[0], state[1] = b + iv[1], state[2] = c + iv[2], state[3] = d + iv[3];
        state[4] = e + iv[4], state[5] = f + iv[5], state[6] = g + iv[6], state[7] = h + iv[7];
    }
    for (int i = 0; i < STATE_WORDS; i++)
        lane[0]->word[i] = state[i];
}

#undef SCHEDULED
#undef ROUND
#undef TWO_ROUNDS
#undef NEXT_PAIR
#undef NO_PAIR
#undef SIXTEEN_ROUNDS
#undef STEPS
#undef TARGET
#undef PAIR_SIGMA0
#undef PAIR_SIGMA1
