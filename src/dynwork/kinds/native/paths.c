/* Which ways of advancing chains this build has, best first.
 *
 * A new instruction set is a header like avx2.h and a row here, and LANES_MAX in chain.h if it has more lanes. Whether it
 * computes SHA-512 is found out at import, where every path is held against hashlib before it may serve (sha512_chain.py).
 * Candidates: the SHA-512 instructions of ARMv8.2 (Graviton 3 and later) and of x86 since Arrow Lake, each for one chain, two
 * or three of them interleaved to hide their latency. NEON without them is slower than the scalar path: two lanes do not make
 * up for its lack of rotations.
 */
#include "chain.h"
#include "lone.h"

#include "scalar.h"
#if defined(__x86_64__)
#include "avx2.h"
#include "avx512.h"
#endif

const path_t chain_paths[] = {
#if defined(__x86_64__)
    {"avx512", 9, avx512_runs_here, avx512_widths},
    {"avx2", 5, avx2_runs_here, avx2_widths},
#endif
    {"scalar", 1, always, scalar_widths},
    {NULL, 0, NULL, NULL},
};
