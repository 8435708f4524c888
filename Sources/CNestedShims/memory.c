/*
 * Running out of memory as a status. Swift ends the process when an object or an array cannot be
 * allocated. The library is therefore linked with --wrap for the allocation functions: what the
 * system refuses is met from a small arena of our own, the thread is marked, and the ABI returns
 * NESTED_E_NOMEM once the call in progress gets back to it.
 *
 * Tensors do not come this way (nested_shim_allocate), so the arena only has to hold the small
 * objects between the failure and the return.
 */
#include "memory.h"

#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *memory, size_t bytes);
void __real_free(void *memory);
int __real_posix_memalign(void **memory, size_t alignment, size_t bytes);
size_t __real_malloc_usable_size(void *memory);
void __real__ZdlPv(void *memory);
void __real__ZdlPvm(void *memory, size_t bytes);

void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);
void __wrap_free(void *memory);
int __wrap_posix_memalign(void **memory, size_t alignment, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
size_t __wrap_malloc_usable_size(void *memory);
void *__wrap__Znwm(size_t bytes);
void __wrap__ZdlPv(void *memory);
void __wrap__ZdlPvm(void *memory, size_t bytes);

/* ---- the arena: blocks one behind the other, each a header and its bytes ---- */

enum { ARENA = 8 << 20, UNIT = 16 }; /* address space only, until it is used */

typedef struct {
  size_t size; /* bytes behind the header, a multiple of UNIT */
  size_t used; /* bytes asked for plus one, 0 when free */
} block;

_Static_assert(sizeof(block) == UNIT, "headers keep the alignment");

static _Alignas(64) unsigned char arena[ARENA];
static bool ready;
static _Atomic size_t in_use; /* changes under the lock */
static atomic_flag busy = ATOMIC_FLAG_INIT;
static _Thread_local bool exhausted;

static void lock(void) { while (atomic_flag_test_and_set_explicit(&busy, memory_order_acquire)) {} }
static void unlock(void) { atomic_flag_clear_explicit(&busy, memory_order_release); }

static block *first(void) { return (block *)(void *)arena; }
static block *next(block *b) { return (block *)(void *)((unsigned char *)(b + 1) + b->size); }
static block *end(void) { return (block *)(void *)(arena + ARENA); }

static bool in_arena(const void *memory) {
  return (uintptr_t)memory - (uintptr_t)arena < (uintptr_t)ARENA;
}

/* Cuts the block after `size` bytes; the rest becomes a free block. */
static void split(block *b, size_t size) {
  if (b->size == size) return;
  block *rest = (block *)(void *)((unsigned char *)(b + 1) + size);
  *rest = (block){.size = b->size - size - sizeof(block), .used = 0};
  b->size = size;
}

static void *emergency(size_t bytes, size_t alignment) {
  exhausted = true;
  if (bytes > ARENA || alignment > ARENA) return NULL;
  size_t size = (bytes + UNIT - 1) / UNIT * UNIT;
  void *found = NULL;
  lock();
  if (!ready) {
    *first() = (block){.size = ARENA - sizeof(block), .used = 0};
    ready = true;
  }
  for (block *b = first(); b != end() && !found; b = next(b)) {
    if (b->used) continue;
    while (next(b) != end() && !next(b)->used) b->size += sizeof(block) + next(b)->size;
    size_t skip = (0 - (size_t)(b + 1)) & (alignment - 1);
    if (b->size < skip || b->size - skip < size) continue;
    if (skip) { /* a multiple of UNIT: the header of the aligned block fits into it */
      split(b, skip - sizeof(block));
      b = next(b);
    }
    if (b->size >= size + sizeof(block)) split(b, size);
    b->used = bytes + 1;
    in_use += b->size;
    found = b + 1;
  }
  unlock();
  return found;
}

static void give_back(void *memory) {
  block *b = (block *)memory - 1;
  lock();
  in_use -= b->size;
  b->used = 0;
  unlock();
}

bool nested_shim_oom_take(void) {
  bool taken = exhausted;
  exhausted = false;
  return taken;
}

size_t nested_shim_emergency_in_use(void) {
  return atomic_load_explicit(&in_use, memory_order_relaxed);
}

bool nested_shim_emergency_is_low(void) { return nested_shim_emergency_in_use() > ARENA / 2; }

/* ---- tensors ---- */

void *nested_shim_allocate(size_t bytes, size_t alignment) {
  void *memory = NULL;
  return __real_posix_memalign(&memory, alignment, bytes ? bytes : 1) == 0 ? memory : NULL;
}

void nested_shim_release(void *memory) { __real_free(memory); }

/* ---- what the rest of the library calls when it says malloc, free, new, delete ---- */

void *__wrap_malloc(size_t bytes) {
  void *memory = __real_malloc(bytes);
  return memory ? memory : emergency(bytes, UNIT);
}

void *__wrap_calloc(size_t count, size_t bytes) {
  void *memory = __real_calloc(count, bytes);
  if (memory || __builtin_mul_overflow(count, bytes, &bytes)) return memory;
  memory = emergency(bytes, UNIT);
  return memory ? memset(memory, 0, bytes) : NULL;
}

void *__wrap_realloc(void *memory, size_t bytes) {
  if (!in_arena(memory)) {
    void *grown = __real_realloc(memory, bytes);
    if (grown || bytes == 0) return grown;
    grown = emergency(bytes, UNIT);
    if (!grown || !memory) return grown;
    size_t old = __real_malloc_usable_size(memory);
    memcpy(grown, memory, old < bytes ? old : bytes);
    __real_free(memory);
    return grown;
  }
  if (bytes == 0) {
    give_back(memory);
    return NULL;
  }
  void *grown = __wrap_malloc(bytes);
  if (!grown) return NULL;
  size_t old = ((block *)memory - 1)->used - 1;
  memcpy(grown, memory, old < bytes ? old : bytes);
  give_back(memory);
  return grown;
}

void __wrap_free(void *memory) {
  if (in_arena(memory)) give_back(memory);
  else __real_free(memory);
}

int __wrap_posix_memalign(void **memory, size_t alignment, size_t bytes) {
  int error = __real_posix_memalign(memory, alignment, bytes);
  if (error != ENOMEM) return error;
  void *found = emergency(bytes, alignment < UNIT ? UNIT : alignment);
  if (!found) return ENOMEM;
  *memory = found;
  return 0;
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes) {
  void *memory = NULL;
  if (alignment < sizeof(void *)) alignment = sizeof(void *);
  int error = __wrap_posix_memalign(&memory, alignment, bytes);
  if (error) errno = error;
  return error ? NULL : memory;
}

/* The Swift runtime asks how much room an array got. */
size_t __wrap_malloc_usable_size(void *memory) {
  return in_arena(memory) ? ((block *)memory - 1)->size : __real_malloc_usable_size(memory);
}

/* operator new, as the C++ parts of the Swift runtime use it. It must not throw: an exception would
 * run into Swift frames. A host that replaces operator new keeps its own; hence nothrow new, not
 * malloc. */
extern const char std_nothrow __asm__("_ZSt7nothrow");
void *new_or_null(size_t bytes, const void *nothrow) __asm__("_ZnwmRKSt9nothrow_t");

void *__wrap__Znwm(size_t bytes) {
  void *memory = new_or_null(bytes, &std_nothrow);
  return memory ? memory : emergency(bytes, UNIT);
}

void __wrap__ZdlPv(void *memory) {
  if (in_arena(memory)) give_back(memory);
  else __real__ZdlPv(memory);
}

void __wrap__ZdlPvm(void *memory, size_t bytes) {
  if (in_arena(memory)) give_back(memory);
  else __real__ZdlPvm(memory, bytes);
}
