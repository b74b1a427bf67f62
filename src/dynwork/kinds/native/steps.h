/* Template: a function that advances LANES chains in lockstep, one in each lane of a vector, and with COMPANION one more in
 * the general registers beside them.
 *
 * Vectors keep the vector units busy and little else: the units of the general registers idle, and so does a third of what
 * the CPU could start in a cycle. The companion's rounds, between those of the vectors, use them: it costs the others almost
 * nothing. Both are the same statements over another type; each is a stream, `wide` and `lone`.
 *
 * Included once for each width by a file that defines
 *     STEPS            the function's name
 *     TARGET           the attribute that allows the instructions it needs, or nothing
 *     LANES, COMPANION how many chains in vectors, and whether there is one more
 *     VEC              a type of as many 64-bit lanes, with the operators + ^ & of C
 *     LANE(v, l)       lane l of v, to read and to write
 *     wide_ALL(x)      x in every lane
 *     wide_SUM0, wide_SUM1, wide_SIGMA0, wide_SIGMA1, wide_CH(e, f, g)     the functions of FIPS 180-4, 4.1.3
 *     wide_KEEP(a, b), wide_MAJ(ab, bc, a, b, c)      majority; what one round keeps as `ab` the next one has as `bc`
 * and forgets STEPS, LANES and COMPANION again. What a round of the lone stream needs is in lone.h.
 *
 * The block is the state (words 0 to 7) and padding (words 8 to 15, of which all but the first and the last are zero).
 * Rounds 8 to 15 add constants therefore, and words 16 to 31 of the schedule lose those of their four terms that are known.
 * The working variables start as constants: round 0 is two additions.
 *
 * The last 48 rounds stay a loop of 16: all 80 in a row are slower, for they no longer fit where a CPU keeps decoded
 * instructions.
 */

/* A statement for each stream. The empty barrier keeps the streams interleaved as they are written; else the compiler
 * gathers what belongs together, and the CPU cannot look far enough ahead to see that there are two. */
#if COMPANION
#define EACH(STATEMENT, ...)                                                                                          \
    STATEMENT(wide, __VA_ARGS__);                                                                                     \
    STATEMENT(lone, __VA_ARGS__);                                                                                     \
    __asm__ volatile("")
#else
#define EACH(STATEMENT, ...) STATEMENT(wide, __VA_ARGS__)
#endif

/* One round; the caller renames the variables instead of moving them. The new `a` is left in h, the new `e` in d. */
#define ROUND(s, a, b, c, d, e, f, g, h, KW, t)                                                                       \
    do {                                                                                                              \
        __typeof__(s.a) t1 = s.h + KW(s, t) + s##_SUM1(s.e) + s##_CH(s.e, s.f, s.g);                                  \
        __typeof__(s.a) ab = s##_KEEP(s.a, s.b);                                                                      \
        s.d += t1;                                                                                                    \
        s.h = t1 + s##_SUM0(s.a) + s##_MAJ(ab, s.bc, s.a, s.b, s.c);                                                  \
        s.bc = ab;                                                                                                    \
    } while (0)

#define SEVEN_ROUNDS(KW, t1, t2, t3, t4, t5, t6, t7)                                                                  \
    EACH(ROUND, h, a, b, c, d, e, f, g, KW, t1);                                                                      \
    EACH(ROUND, g, h, a, b, c, d, e, f, KW, t2);                                                                      \
    EACH(ROUND, f, g, h, a, b, c, d, e, KW, t3);                                                                      \
    EACH(ROUND, e, f, g, h, a, b, c, d, KW, t4);                                                                      \
    EACH(ROUND, d, e, f, g, h, a, b, c, KW, t5);                                                                      \
    EACH(ROUND, c, d, e, f, g, h, a, b, KW, t6);                                                                      \
    EACH(ROUND, b, c, d, e, f, g, h, a, KW, t7)

/* Eight rounds bring every variable back to its name. */
#define EIGHT_ROUNDS(KW, t0, ...)                                                                                     \
    EACH(ROUND, a, b, c, d, e, f, g, h, KW, t0);                                                                      \
    SEVEN_ROUNDS(KW, __VA_ARGS__)

/* Words 16 to 31 of the schedule, in the places of words 0 to 15. The general form is NEXT's. */
#define WORD_0(s) s.w[0] += s##_SIGMA0(s.w[1])
#define WORD_1(s) s.w[1] += s##_SIGMA0(s.w[2]) + s##_ALL(known->sigma1_w15)
#define WORD_2(s) s.w[2] += s##_SIGMA0(s.w[3]) + s##_SIGMA1(s.w[0])
#define WORD_3(s) s.w[3] += s##_SIGMA0(s.w[4]) + s##_SIGMA1(s.w[1])
#define WORD_4(s) s.w[4] += s##_SIGMA0(s.w[5]) + s##_SIGMA1(s.w[2])
#define WORD_5(s) s.w[5] += s##_SIGMA0(s.w[6]) + s##_SIGMA1(s.w[3])
#define WORD_6(s) s.w[6] += s##_SIGMA0(s.w[7]) + s##_SIGMA1(s.w[4]) + s##_ALL(known->w15)
#define WORD_7(s) s.w[7] += s##_ALL(known->sigma0_w8) + s##_SIGMA1(s.w[5]) + s.w[0]
#define WORD_8(s) s.w[8] = s##_ALL(known->w8) + s##_SIGMA1(s.w[6]) + s.w[1]
#define WORD_9(s) s.w[9] = s##_SIGMA1(s.w[7]) + s.w[2]
#define WORD_10(s) s.w[10] = s##_SIGMA1(s.w[8]) + s.w[3]
#define WORD_11(s) s.w[11] = s##_SIGMA1(s.w[9]) + s.w[4]
#define WORD_12(s) s.w[12] = s##_SIGMA1(s.w[10]) + s.w[5]
#define WORD_13(s) s.w[13] = s##_SIGMA1(s.w[11]) + s.w[6]
#define WORD_14(s) s.w[14] = s##_ALL(known->sigma0_w15) + s##_SIGMA1(s.w[12]) + s.w[7]
#define WORD_15(s) s.w[15] = s##_ALL(known->w15) + s##_SIGMA0(s.w[0]) + s##_SIGMA1(s.w[13]) + s.w[8]

/* What a round adds: a word of the message and its constant; a constant that holds a word of padding; a word that is new, and
 * its constant. */
#define GIVEN(s, t) (s.w[t] + s##_ALL(k[t]))
#define PADDING(s, t) s##_ALL(k[t])
#define FIRST(s, t) (WORD_##t(s), GIVEN(s, t))
#define NEXT(s, t)                                                                                                    \
    (s.w[t] += s##_SIGMA1(s.w[(t + 14) & 15]) + s.w[(t + 9) & 15] + s##_SIGMA0(s.w[(t + 1) & 15]), GIVEN(s, t))

/* The block and the working variables after round 0: its new `a` is in h and its new `e` in d, as ROUND leaves them. */
#define START(s, state)                                                                                               \
    for (int i = 0; i < STATE_WORDS; i++)                                                                             \
        s.w[i] = s.state[i];                                                                                          \
    s.a = s##_ALL(iv[0]), s.b = s##_ALL(iv[1]), s.c = s##_ALL(iv[2]), s.d = s.w[0] + s##_ALL(known->e1);              \
    s.e = s##_ALL(iv[4]), s.f = s##_ALL(iv[5]), s.g = s##_ALL(iv[6]), s.h = s.w[0] + s##_ALL(known->a1);              \
    s.bc = s##_KEEP(s.a, s.b)

#define FINISH(s, state)                                                                                              \
    s.state[0] = s.a + s##_ALL(iv[0]), s.state[1] = s.b + s##_ALL(iv[1]), s.state[2] = s.c + s##_ALL(iv[2]);          \
    s.state[3] = s.d + s##_ALL(iv[3]), s.state[4] = s.e + s##_ALL(iv[4]), s.state[5] = s.f + s##_ALL(iv[5]);          \
    s.state[6] = s.g + s##_ALL(iv[6]), s.state[7] = s.h + s##_ALL(iv[7])

TARGET static void STEPS(chain_t *const *lane, uint64_t steps)
{
    struct {
        VEC state[STATE_WORDS], w[16], a, b, c, d, e, f, g, h, bc;
    } wide;
    for (int i = 0; i < STATE_WORDS; i++)
        for (int l = 0; l < LANES; l++)
            LANE(wide.state[i], l) = lane[l]->word[i];
#if COMPANION
    struct {
        uint64_t state[STATE_WORDS], *w, a, b, c, d, e, f, g, h, bc;
    } lone;
    uint64_t words[16];
    lone.w = words;
    HIDE(lone.w); /* the schedule stays in memory: there are general registers for the working variables only */
    for (int i = 0; i < STATE_WORDS; i++)
        lone.state[i] = lane[LANES]->word[i];
#endif
    while (steps--) {
        const folded_t *known = &chain_folded;
        HIDE(known);
        const uint64_t *k = known->k, *iv = known->iv;
        EACH(START, state);
        SEVEN_ROUNDS(GIVEN, 1, 2, 3, 4, 5, 6, 7);
        EIGHT_ROUNDS(PADDING, 8, 9, 10, 11, 12, 13, 14, 15);
        k += 16;
        EIGHT_ROUNDS(FIRST, 0, 1, 2, 3, 4, 5, 6, 7);
        EIGHT_ROUNDS(FIRST, 8, 9, 10, 11, 12, 13, 14, 15);
        for (int block = 2; block < 5; block++) {
            k += 16;
            HIDE(k);
            EIGHT_ROUNDS(NEXT, 0, 1, 2, 3, 4, 5, 6, 7);
            EIGHT_ROUNDS(NEXT, 8, 9, 10, 11, 12, 13, 14, 15);
        }
        EACH(FINISH, state);
    }
    for (int i = 0; i < STATE_WORDS; i++)
        for (int l = 0; l < LANES; l++)
            lane[l]->word[i] = LANE(wide.state[i], l);
#if COMPANION
    for (int i = 0; i < STATE_WORDS; i++)
        lane[LANES]->word[i] = lone.state[i];
#endif
}

#undef EACH
#undef ROUND
#undef SEVEN_ROUNDS
#undef EIGHT_ROUNDS
#undef WORD_0
#undef WORD_1
#undef WORD_2
#undef WORD_3
#undef WORD_4
#undef WORD_5
#undef WORD_6
#undef WORD_7
#undef WORD_8
#undef WORD_9
#undef WORD_10
#undef WORD_11
#undef WORD_12
#undef WORD_13
#undef WORD_14
#undef WORD_15
#undef GIVEN
#undef PADDING
#undef FIRST
#undef NEXT
#undef START
#undef FINISH
#undef STEPS
#undef LANES
#undef COMPANION
