#include "fork_counter.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

static _Atomic uint64_t forks;
static atomic_bool watched;

static void child(void) { atomic_fetch_add_explicit(&forks, 1, memory_order_relaxed); }

/* No lock: a fork while another thread holds it would leave the child waiting for ever. Two threads
 * that get here together register twice, and a child then counts two, which is as good as one. */
int nested_shim_fork_watch(void) {
  if (atomic_load_explicit(&watched, memory_order_acquire)) return 0;
  int error = pthread_atfork(NULL, NULL, child);
  if (error == 0) atomic_store_explicit(&watched, true, memory_order_release);
  return error;
}

uint64_t nested_shim_fork_count(void) {
  return atomic_load_explicit(&forks, memory_order_relaxed);
}
