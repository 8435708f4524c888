/* The emergency arena, linked as the library links it: when malloc fails, small requests still succeed,
 * the thread is marked, contents survive realloc, and every byte comes back. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "memory.h"

void *_Znwm(size_t bytes);
void _ZdlPvm(void *memory, size_t bytes);
size_t malloc_usable_size(void *memory);

static int checks;
#define CHECK(condition)                                                          \
  do {                                                                            \
    checks++;                                                                     \
    ENSURE(condition);                                                            \
  } while (0)
/* The same in a loop: not counted. */
#define ENSURE(condition)                                                         \
  do {                                                                            \
    if (!(condition)) {                                                           \
      printf("not ok %d: line %d: %s\n", checks, __LINE__, #condition);           \
      return 1;                                                                   \
    }                                                                             \
  } while (0)

static void limit(rlim_t bytes) {
  struct rlimit now;
  getrlimit(RLIMIT_AS, &now);
  now.rlim_cur = bytes;
  setrlimit(RLIMIT_AS, &now);
}

/* Takes all that malloc has left, in ever smaller pieces. */
static void **exhaust(void) {
  void **chain = NULL;
  for (size_t bytes = (size_t)1 << 26; bytes >= sizeof(void *); bytes /= 2) {
    for (;;) {
      size_t before = nested_shim_emergency_in_use();
      void **piece = malloc(bytes);
      if (!piece) break;
      if (nested_shim_emergency_in_use() != before) {
        free(piece);
        break;
      }
      *piece = chain;
      chain = piece;
    }
  }
  return chain;
}

static int filled(const unsigned char *bytes, int value, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (bytes[i] != value) return 0;
  return 1;
}

int main(void) {
  enum { SLOTS = 64 };
  unsigned char *slot[SLOTS] = {0};
  size_t size[SLOTS] = {0};
  uint64_t random = 88172645463325252u;

  void *before = malloc(100);
  memset(before, 7, 100);
  CHECK(!nested_shim_oom_take());
  CHECK(nested_shim_emergency_in_use() == 0);

  printf("exhausting memory\n"); /* stdio's buffer, before there is none */
  limit((rlim_t)1 << 28);
  void **chain = exhaust();
  CHECK(nested_shim_oom_take());
  CHECK(!nested_shim_oom_take());
  CHECK(nested_shim_emergency_in_use() == 0);
  CHECK(nested_shim_allocate(4096, 64) == NULL); /* tensors never come from the arena */
  CHECK(!nested_shim_oom_take());

  void *grown = realloc(before, 5000);
  CHECK(grown && filled(grown, 7, 100));
  CHECK(nested_shim_oom_take());
  CHECK(malloc_usable_size(grown) >= 5000);
  free(grown);
  CHECK(nested_shim_emergency_in_use() == 0);

  CHECK(malloc((size_t)9 << 20) == NULL);
  volatile size_t huge = SIZE_MAX / 2;
  CHECK(calloc(huge, 4) == NULL);
  unsigned char *zero = calloc(300, 3);
  CHECK(zero && filled(zero, 0, 900));
  free(zero);
  void *object = _Znwm(48);
  CHECK(object);
  _ZdlPvm(object, 48);
  void *aligned = NULL;
  CHECK(posix_memalign(&aligned, 4096, 10000) == 0 && (uintptr_t)aligned % 4096 == 0);
  free(aligned);
  aligned = aligned_alloc(256, 512);
  CHECK(aligned && (uintptr_t)aligned % 256 == 0);
  free(aligned);
  CHECK(nested_shim_emergency_in_use() == 0);

  for (int step = 0; step < 200000; step++) {
    random ^= random << 13, random ^= random >> 7, random ^= random << 17;
    int i = (int)(random % SLOTS);
    size_t bytes = (size_t)(random >> 20) % 12000 + 1;
    int value = i + 1;
    if (slot[i]) ENSURE(filled(slot[i], value, size[i]));
    if (slot[i] && random >> 63) {
      unsigned char *moved = realloc(slot[i], bytes);
      ENSURE(moved && filled(moved, value, bytes < size[i] ? bytes : size[i]));
      slot[i] = moved;
    } else {
      free(slot[i]);
      slot[i] = malloc(bytes);
      ENSURE(slot[i] && (uintptr_t)slot[i] % 16 == 0);
    }
    size[i] = bytes;
    memset(slot[i], value, bytes);
  }
  for (int i = 0; i < SLOTS; i++) free(slot[i]);
  CHECK(nested_shim_emergency_in_use() == 0);
  CHECK(!nested_shim_emergency_is_low());
  unsigned char *all = malloc(8000000); /* in one piece again */
  CHECK(all && nested_shim_emergency_is_low());
  free(all);
  CHECK(!nested_shim_emergency_is_low());

  while (chain) {
    void **rest = *chain;
    free(chain);
    chain = rest;
  }
  nested_shim_oom_take();
  free(malloc(1000));
  CHECK(!nested_shim_oom_take());
  printf("ok %d\n", checks);
  return 0;
}
