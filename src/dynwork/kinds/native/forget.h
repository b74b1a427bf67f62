/* Forgets what a file defined for steps.h, so that the next one can. */
#undef VEC
#undef LANE
#undef TARGET
#undef wide_ALL
#undef wide_SUM0
#undef wide_SUM1
#undef wide_SIGMA0
#undef wide_SIGMA1
#undef wide_CH
#undef wide_KEEP
#undef wide_MAJ
