/* One chain in general registers: what a round of it needs. */
#define ROTATED(x, n) ((x) >> (n) | (x) << (64 - (n)))

#define lone_ALL(x) (x)
#define lone_SUM0(x) (ROTATED(x, 28) ^ ROTATED(x, 34) ^ ROTATED(x, 39))
#define lone_SUM1(x) (ROTATED(x, 14) ^ ROTATED(x, 18) ^ ROTATED(x, 41))
#define lone_SIGMA0(x) (ROTATED(x, 1) ^ ROTATED(x, 8) ^ (x) >> 7)
#define lone_SIGMA1(x) (ROTATED(x, 19) ^ ROTATED(x, 61) ^ (x) >> 6)
#define lone_CH(e, f, g) ((g) ^ ((e) & ((f) ^ (g))))
#define lone_KEEP(a, b) ((a) ^ (b))
#define lone_MAJ(ab, bc, a, b, c) ((b) ^ ((ab) & (bc)))
