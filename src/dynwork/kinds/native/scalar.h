/* The path of any CPU: one chain at a time in general registers. */
#define VEC uint64_t
#define LANE(v, l) (v)
#define TARGET
#define wide_ALL lone_ALL
#define wide_SUM0 lone_SUM0
#define wide_SUM1 lone_SUM1
#define wide_SIGMA0 lone_SIGMA0
#define wide_SIGMA1 lone_SIGMA1
#define wide_CH lone_CH
#define wide_KEEP lone_KEEP
#define wide_MAJ lone_MAJ

#define STEPS scalar_steps
#define LANES 1
#define COMPANION 0
#include "steps.h"
#include "forget.h"

static int always(void) { return 1; }

static const width_t scalar_widths[] = {{1, scalar_steps}};
