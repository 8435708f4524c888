#pragma once

#include <stdint.h>

/** Nanoseconds of a clock that only goes forward (CLOCK_MONOTONIC); the origin is arbitrary. */
uint64_t nested_shim_monotonic_nanoseconds(void);
