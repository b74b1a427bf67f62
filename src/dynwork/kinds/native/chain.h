/* The hash chain: what one step computes, and what a path offers.
 *
 * A chain's state is a SHA-512 digest; one step replaces it by the SHA-512 of its 64 bytes. With its padding such a
 * message is exactly one block (FIPS 180-4, 5.1.2), so a step is one compression that starts from the initial hash value.
 * Half of the block never changes, and much of the first rounds and of the message schedule can be known beforehand.
 *
 * A chain is sequential: step n + 1 waits for step n. Chains are independent of each other. So a core advances several in
 * lockstep, one in each lane of its vector registers, and only a chain that is alone has the core to itself.
 *
 * In the order of reading:
 *     folded.c                      the constants, and what is known before any message is
 *     lone.h, steps.h               one step: a round of one chain; the template for chains in lanes
 *     scalar.h, avx2.h, avx512.h    the template filled in, for each instruction set
 *     alone.h                       the template for one chain by itself
 *     paths.c                       which of these there are
 *     advance.c                     keeps the lanes full, within bounds of steps and time
 *     module.c                      all that knows Python
 * Whatever they share is called chain_...: the C library has functions with the shorter names.
 */
#ifndef DYNWORK_CHAIN_H
#define DYNWORK_CHAIN_H

#include <stddef.h>
#include <stdint.h>

#define STATE_WORDS 8
#define STATE_BYTES 64
#define LANES_MAX 9

/* One chain: its state as FIPS 180-4 numbers the words, each in the machine's byte order, and the steps still to make. */
typedef struct {
    uint64_t word[STATE_WORDS];
    uint64_t remaining;
} chain_t;

/* Advances the states of as many chains as the width has lanes, each by `steps`; leaves `remaining` alone. */
typedef void steps_fn(chain_t *const *lane, uint64_t steps);

typedef struct {
    unsigned lanes;
    steps_fn *steps;
} width_t;

/* The ways of advancing chains that one instruction set allows. */
typedef struct {
    const char *name;
    unsigned lanes;          /* of the widest way */
    int (*runs_here)(void);  /* whether this CPU and its operating system can run it */
    const width_t *widths;   /* narrowest first, each for more chains than the one before; advance.c chooses */
} path_t;

/* The paths of this build, best first, ended by one without a name. */
extern const path_t chain_paths[];

/* What SHA-512 and the constant half of the block leave to be added. Aligned like the widest vector: a load of several round
 * constants then touches one cache line. See folded.c. */
typedef struct {
    uint64_t k[80];     /* the round constants, those of rounds 8 to 15 with the word of padding that the round adds */
    uint64_t iv[8];     /* the initial hash value */
    uint64_t a1, e1;    /* round 0: a and e after it, but for the message's first word */
    uint64_t w15;       /* the last word of padding: the message's length in bits */
    uint64_t w8;        /* the first one: a single one bit */
    uint64_t sigma1_w15, sigma0_w8, sigma0_w15; /* these words as the schedule takes them */
} folded_t;

extern const folded_t chain_folded __attribute__((aligned(64)));

/* Chains with steps to make, as many as `waiting`. */
typedef struct {
    chain_t **queue;
    size_t waiting;
    int in_order; /* whether lanes go to chains as they are queued, or to those that have the most left */
} batch_t;

/* Advances the chains of a batch on one path; the order of its queue is lost. Makes `max_steps` steps at most, in all, and
 * stops soon after `max_seconds`; makes at least one if it may make any. Returns how many it made. */
uint64_t chain_advance(const path_t *path, const batch_t *batch, uint64_t max_steps, double max_seconds);

/* Hides from the compiler where a pointer leads. Constants are then read where they are used, broadcast by the load itself;
 * else it reads them all before the loop and, out of registers, keeps them on the stack as whole vectors. */
#define HIDE(pointer) __asm__("" : "+r"(pointer))

#endif
