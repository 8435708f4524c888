/* Loads libnested in a process that has not seen it, and prints three times in microseconds since
 * before dlopen: when it is loaded, when the first call has returned, when a context has been made.
 * usage: nested-bench-load LIBRARY */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "../../../include/nested.h"

static double microseconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return 1e6 * (double)t.tv_sec + 1e-3 * (double)t.tv_nsec;
}

int main(int count, char **arguments) {
  if (count != 2) return 2;
  double start = microseconds();
  void *library = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
  double loaded = microseconds();
  if (!library) {
    fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
  uint32_t (*version)(void);
  nested_status (*create)(const nested_context_options *, nested_context **);
  void (*release)(nested_context *);
  *(void **)&version = dlsym(library, "nested_version");
  *(void **)&create = dlsym(library, "nested_context_create");
  *(void **)&release = dlsym(library, "nested_context_release");
  if (!version || !create || !release) return 1;
  uint32_t number = version();
  double called = microseconds();
  nested_context *context = NULL;
  nested_status status = create(NULL, &context);
  double created = microseconds();
  if (number != NESTED_VERSION || status != NESTED_OK) return 1;
  release(context);
  printf("%.1f %.1f %.1f\n", loaded - start, called - start, created - start);
  return 0;
}
