#pragma once

#include <stdint.h>

/**
 * Puts this thread into the library's floating-point environment: round to nearest, all exceptions
 * masked, subnormals flushed to zero on input and output. Returns the host's environment, which
 * goes to nested_shim_float_leave() before the call returns to the host, on every path.
 *
 * Results then depend neither on what the host set nor on how slow this processor is at subnormals,
 * and decayed memories that shrink to nothing cost no more than others. Elsewhere than on x86 and
 * arm64 both functions do nothing.
 */
uint64_t nested_shim_float_enter(void);
/** Puts the host's environment back, its sticky exception flags included. */
void nested_shim_float_leave(uint64_t saved);
