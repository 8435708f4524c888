/* Counts what the whole process asks of the heap. A program that defines malloc replaces it for
 * every library in the process; each function here counts and goes on to glibc's own. */
#include "allocations.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *memory, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);

static atomic_uint_fast64_t count;

static void add(void) { atomic_fetch_add_explicit(&count, 1, memory_order_relaxed); }

uint64_t nested_bench_allocations(void) {
  return atomic_load_explicit(&count, memory_order_relaxed);
}

void *malloc(size_t bytes) {
  add();
  return __libc_malloc(bytes);
}

void *calloc(size_t number, size_t bytes) {
  add();
  return __libc_calloc(number, bytes);
}

void *realloc(void *memory, size_t bytes) {
  add();
  return __libc_realloc(memory, bytes);
}

void *memalign(size_t alignment, size_t bytes) {
  add();
  return __libc_memalign(alignment, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes) { return memalign(alignment, bytes); }

int posix_memalign(void **memory, size_t alignment, size_t bytes) {
  if (alignment % sizeof(void *) != 0 || (alignment & (alignment - 1)) != 0 || alignment == 0)
    return EINVAL;
  void *found = memalign(alignment, bytes);
  if (!found) return ENOMEM;
  *memory = found;
  return 0;
}
