/* The paths of a machine on which the best one does not run, in the place of paths.c: see test_binding.py. */
#include "chain.h"

#include <stdlib.h>

static int runs(void) { return 1; }

static int does_not_run(void) { return 0; }

static void illegal_instruction(chain_t *const *lane, uint64_t steps)
{
    (void)lane, (void)steps;
    abort();
}

static void count_up(chain_t *const *lane, uint64_t steps) { lane[0]->word[7] += steps; }

static const width_t illegal[] = {{1, illegal_instruction}}, counting[] = {{1, count_up}};

const path_t chain_paths[] = {
    {"newer", 1, does_not_run, illegal},
    {"counting", 1, runs, counting},
    {"older", 1, does_not_run, illegal},
    {NULL, 0, NULL, NULL},
};
