#pragma once

#include <stdint.h>

/*
 * A Swift closure (Int) -> Void that does not escape, as its two words. Swift can hand one to
 * another thread only by copying it to the heap, twice; a thread pool that must not allocate calls
 * it from here instead. The closure has to outlive the calls; whoever takes the words sees to that.
 */
typedef struct {
  void *function;
  void *context;
} nested_parallel_body;

/*
 * Declared in Swift, as
 * nested_shim_parallel_body(_ body: (Int) -> Void, _ words: UnsafeMutablePointer<nested_parallel_body>).
 */

/** body(index) */
void nested_shim_parallel_call(nested_parallel_body body, int64_t index);
