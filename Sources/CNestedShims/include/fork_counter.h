#pragma once

#include <stdint.h>

/**
 * Starts counting forks; to be called before the first context exists, as often as wanted. Not done
 * at load, so that a process that only loads the library gets no fork handler. Returns 0, or an
 * errno value when there is no memory for the handler.
 */
int nested_shim_fork_watch(void);

/**
 * How many times this process is a forked child since nested_shim_fork_watch(): a context remembers
 * the number it was made under, and another number means that its threads are gone.
 */
uint64_t nested_shim_fork_count(void);
