#pragma once

#include <stdint.h>

/*
 * Atomic counters for the thread pool, and a hint that we spin. Nothing is published through them:
 * what one thread writes and another reads goes through a pthread mutex, which ThreadSanitizer
 * understands.
 */
typedef struct {
  int64_t value;
} nested_atomic;

static inline int64_t nested_atomic_load(nested_atomic *a) {
  return __atomic_load_n(&a->value, __ATOMIC_ACQUIRE);
}
static inline void nested_atomic_store(nested_atomic *a, int64_t v) {
  __atomic_store_n(&a->value, v, __ATOMIC_RELEASE);
}
/** Returns the value before. */
static inline int64_t nested_atomic_add(nested_atomic *a, int64_t v) {
  return __atomic_fetch_add(&a->value, v, __ATOMIC_ACQ_REL);
}
/** Returns the value before. */
static inline int64_t nested_atomic_exchange(nested_atomic *a, int64_t v) {
  return __atomic_exchange_n(&a->value, v, __ATOMIC_ACQ_REL);
}
static inline void nested_spin_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}
