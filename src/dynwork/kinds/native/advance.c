/* Continuous batching inside one call: a lane is given on as soon as its chain ends.
 *
 * Unless the caller's order counts, lanes belong to the chains that have the most left, and are dealt anew now and then. At
 * the end all chains finish together and no lane runs empty while a last long chain has yet to begin. No schedule is shorter
 * than the longest chain, nor than all the work spread over all the lanes (McNaughton 1959); this one comes as close to the
 * larger of the two as the deals are often.
 */
#if !defined(_POSIX_C_SOURCE)
#define _POSIX_C_SOURCE 199309L /* clock_gettime */
#endif
#include "chain.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Steps between two looks at the clock: 0.2 to 1 ms. A look costs about as much as a tenth of a step. */
#define CLOCK_STEPS 4096

/* Steps between two deals, at least; a deal sorts all chains. */
#define DEAL_STEPS 65536
#define DEAL_STEPS_PER_CHAIN 64

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* How far the first `live` chains may run in one go: to the end of the shortest, the budget or the next look at the clock. */
static uint64_t burst(chain_t *const *lane, unsigned live, uint64_t budget)
{
    uint64_t steps = least(budget / live, CLOCK_STEPS / live);
    for (unsigned l = 0; l < live; l++)
        steps = least(steps, lane[l]->remaining);
    return steps;
}

/* Takes the chains that ended out of the lanes, the others move up in their order. Returns how many are left. */
static unsigned without_ended(chain_t **lane, unsigned live)
{
    unsigned left = 0;
    for (unsigned l = 0; l < live; l++)
        if (lane[l]->remaining > 0)
            lane[left++] = lane[l];
    return left;
}

/* Longest first; chains with the same left in the order they came in. */
static int by_remaining(const void *left, const void *right)
{
    const chain_t *a = *(chain_t *const *)left, *b = *(chain_t *const *)right;
    if (a->remaining != b->remaining)
        return a->remaining < b->remaining ? 1 : -1;
    return (a > b) - (a < b);
}

/* Whether to run all chains that have a lane, or only as many as the next narrower way holds, and let the others rest: that
 * may be faster. A companion's rounds are almost free on a core that is ours alone; where the other hyperthread is busy there
 * is nothing idle for them to use, and they take more from the vectors than they give. Vectors of eight with five chains in
 * them lose against full ones of four where the CPU makes them in two halves. Nobody tells a program which it is, and it
 * changes: so both are tried in turn, one look at the clock after the other, and what won lately is used in between. */
typedef struct {
    unsigned turn; /* turns 0 (all) and 1 (fewer) of every TRIAL_TURNS are the trial */
    int balance;   /* trials won by all less trials lost, within BALANCE_MAX */
    double all;    /* steps a second in turn 0 */
} trial_t;

#define TRIAL_TURNS 32 /* 5 to 10 ms */
#define BALANCE_MAX 3

/* What this thread learned on its core, by the number of chains in lanes. */
static _Thread_local struct {
    const path_t *path;
    trial_t trial[LANES_MAX + 1];
} learned;

/* How many of `live` chains to run. */
static unsigned to_run(const path_t *path, unsigned live)
{
    const trial_t *trial = &learned.trial[live];
    unsigned fewer = 0;
    for (const width_t *width = path->widths; width->lanes < live; width++)
        fewer = width->lanes;
    if (fewer <= live / 2) /* hopeless: it is not even tried */
        return live;
    return trial->turn == 0 || (trial->turn > 1 && trial->balance >= 0) ? live : fewer;
}

static void turn_ended(trial_t *trial, double pace)
{
    if (trial->turn == 0)
        trial->all = pace;
    if (trial->turn == 1) {
        if (trial->all > pace && trial->balance < BALANCE_MAX)
            trial->balance++;
        if (trial->all < pace && trial->balance > -BALANCE_MAX)
            trial->balance--;
    }
    trial->turn = (trial->turn + 1) % TRIAL_TURNS;
}

/* Advances the chains in the first `running` lanes by one burst. Returns how many steps that were in all. */
static uint64_t run(const path_t *path, chain_t *const *lane, unsigned running, uint64_t budget)
{
    const uint64_t steps = burst(lane, running, budget);
    chain_t empty = {{0}, 0}; /* what a lane advances that has no chain */
    chain_t *work[LANES_MAX];
    const width_t *width = path->widths;
    while (width->lanes < running)
        width++;
    for (unsigned l = 0; l < width->lanes; l++)
        work[l] = l < running ? lane[l] : &empty;
    width->steps(work, steps);
    for (unsigned l = 0; l < running; l++)
        lane[l]->remaining -= steps;
    return steps * running;
}

/* Fills the lanes from the queue, in its order. Returns how many hold a chain. */
static unsigned fill(const path_t *path, chain_t **lane, unsigned live, const batch_t *batch, size_t *taken)
{
    while (live < path->lanes && *taken < batch->waiting)
        lane[live++] = batch->queue[(*taken)++];
    return live;
}

/* Takes all chains out of the lanes and queues them anew. Returns how many lanes hold one then: none. */
static unsigned deal(chain_t *const *lane, unsigned live, const batch_t *batch, size_t *taken)
{
    while (live > 0)
        batch->queue[--*taken] = lane[--live];
    qsort(batch->queue + *taken, batch->waiting - *taken, sizeof *batch->queue, by_remaining);
    return 0;
}

uint64_t chain_advance(const path_t *path, const batch_t *batch, uint64_t max_steps, double max_seconds)
{
    const uint64_t deal_every = DEAL_STEPS + DEAL_STEPS_PER_CHAIN * batch->waiting;
    double looked = seconds();
    const double deadline = looked + max_seconds;
    uint64_t budget = max_steps, since_look = 0, since_deal = deal_every;
    chain_t *lane[LANES_MAX];
    unsigned live = 0, at_look = 0; /* chains in lanes: now, and after the last look at the clock */
    size_t taken = 0;
    int rested = 0; /* whether a chain in a lane was not run since the last deal */

    if (learned.path != path) {
        memset(&learned, 0, sizeof learned);
        learned.path = path;
    }
    while (budget > 0) {
        if (!batch->in_order && since_deal >= deal_every && (rested || taken < batch->waiting)) {
            live = deal(lane, live, batch, &taken);
            since_deal = 0;
            rested = 0;
        }
        live = fill(path, lane, live, batch, &taken);
        if (live == 0)
            break;
        if (since_look == 0)
            at_look = live;
        /* The last few steps of the budget, fewer than there are lanes, go to the first chains. */
        const unsigned had_lane = live, running = (unsigned)least(to_run(path, live), budget);
        const uint64_t made = run(path, lane, running, budget);
        rested |= running < live;
        live = without_ended(lane, live);
        budget -= made;
        since_deal += made;
        since_look += made;
        if (since_look < CLOCK_STEPS - LANES_MAX)
            continue;
        const double now = seconds();
        if (had_lane == at_look) /* and so it was in between: the queue only gets shorter */
            turn_ended(&learned.trial[at_look], (double)since_look / (now - looked));
        if (now >= deadline)
            break;
        looked = now;
        since_look = 0;
    }
    return max_steps - budget;
}
