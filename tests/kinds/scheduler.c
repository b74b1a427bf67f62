/* advance.c with a clock and a path that test_scheduler.py sets: nothing is hashed, a step only takes its time. */
#if !defined(_POSIX_C_SOURCE)
#define _POSIX_C_SOURCE 199309L
#endif
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

double now_s = 1e6;                         /* what the clock says */
double alone_s, vectors_s, together_s;      /* what a step of all lanes takes, by width */
uint64_t alone_made, vectors_made, together_made; /* steps of each chain, by width */
uint64_t looks, deals;

static int set_clock_gettime(clockid_t which, struct timespec *now)
{
    if (which != CLOCK_MONOTONIC)
        abort(); /* others are set, or stand still while a thread waits */
    looks++;
    now->tv_sec = (time_t)now_s;
    now->tv_nsec = (long)((now_s - (double)now->tv_sec) * 1e9);
    return 0;
}

static void counted_qsort(void *base, size_t count, size_t size, int (*order)(const void *, const void *))
{
    deals++;
    qsort(base, count, size, order);
}

#define clock_gettime set_clock_gettime
#define qsort counted_qsort
#include "advance.c"

#define WIDTH(name)                                                                                                   \
    static void name(chain_t *const *lane, uint64_t steps)                                                            \
    {                                                                                                                 \
        (void)lane;                                                                                                   \
        name##_made += steps;                                                                                         \
        now_s += (double)steps * name##_s;                                                                            \
    }
WIDTH(alone)
WIDTH(vectors)
WIDTH(together)

static const width_t widths[] = {{1, alone}, {4, vectors}, {5, together}};
static const path_t path = {"set", 5, NULL, widths};

uint64_t scheduled(size_t count, uint64_t *remaining, int in_order, uint64_t max_steps, double max_seconds)
{
    chain_t *chains = calloc(count, sizeof *chains);
    batch_t batch = {calloc(count, sizeof *batch.queue), count, in_order};
    for (size_t i = 0; i < count; i++) {
        chains[i].remaining = remaining[i];
        batch.queue[i] = &chains[i];
    }
    const uint64_t made = chain_advance(&path, &batch, max_steps, max_seconds);
    for (size_t i = 0; i < count; i++)
        remaining[i] = chains[i].remaining;
    free(batch.queue);
    free(chains);
    return made;
}
