#pragma once

// The CPU class a module of kernels is compiled for, as a constant Swift can fold: 1 with 512-bit
// registers.
#if defined(__AVX512F__)
#define NESTED_KERNELS_ZMM 1
#else
#define NESTED_KERNELS_ZMM 0
#endif
