#pragma once

/**
 * The x86-64 level of this processor as far as the kernels care: 4 (AVX-512 F, BW, CD, DQ, VL),
 * 3 (AVX2, FMA, BMI, F16C, ...) or 0. A level counts only where the operating system saves its
 * registers. On other processors 0.
 */
int nested_shim_cpu_level(void);
