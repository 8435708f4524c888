/* How often this program and the libraries in it have asked malloc and its like for memory. */
#ifndef NESTED_BENCH_ALLOCATIONS_H
#define NESTED_BENCH_ALLOCATIONS_H

#include <stdint.h>

uint64_t nested_bench_allocations(void);

#endif
