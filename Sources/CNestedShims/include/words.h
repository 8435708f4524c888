#pragma once
#include <stdint.h>

/*
 * Atomic 64-bit words for the handle table: lock-free, so a signal handler may use them. Sequentially consistent:
 * a handle that one thread publishes leads another to the object behind it.
 */
static inline uint64_t nested_word_load(uint64_t *word) { return __atomic_load_n(word, __ATOMIC_SEQ_CST); }
static inline void nested_word_store(uint64_t *word, uint64_t value) {
  __atomic_store_n(word, value, __ATOMIC_SEQ_CST);
}
/** Returns the value before. */
static inline uint64_t nested_word_add(uint64_t *word, uint64_t value) {
  return __atomic_fetch_add(word, value, __ATOMIC_SEQ_CST);
}
/** 1 when the word was `expected` and is now `value`. */
static inline int nested_word_exchange(uint64_t *word, uint64_t expected, uint64_t value) {
  return __atomic_compare_exchange_n(word, &expected, value, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}
