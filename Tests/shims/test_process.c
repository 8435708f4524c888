/* Clock, processor level, floating-point environment, fork counter, and what getenv hides. */
#include <fenv.h>
#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cpu_level.h"
#include "float_environment.h"
#include "fork_counter.h"
#include "monotonic_clock.h"

static int checks;
#define CHECK(condition)                                                          \
  do {                                                                            \
    checks++;                                                                     \
    if (!(condition)) {                                                           \
      printf("not ok %d: line %d: %s\n", checks, __LINE__, #condition);           \
      return 1;                                                                   \
    }                                                                             \
  } while (0)

extern char **environ;

/* What Linux says of the processor: 4, 3 or 0. */
static int level_from_proc(void) {
  static const char *const v3[] = {"avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe"};
  static const char *const v4[] = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"};
  static char line[16384];
  FILE *info = fopen("/proc/cpuinfo", "r");
  int level = 0;
  while (info && fgets(line, sizeof line, info)) {
    if (strncmp(line, "flags", 5) != 0) continue;
    strcat(strtok(line, "\n"), " ");
    level = 4;
    for (int i = 0; i < 7 + 5; i++) {
      char word[32];
      snprintf(word, sizeof word, " %s ", i < 7 ? v3[i] : v4[i - 7]);
      if (!strstr(line, word)) level = i < 7 ? 0 : level == 4 ? 3 : level;
      if (level == 0) break;
    }
    break;
  }
  if (info) fclose(info);
  return level;
}

int main(void) {
  uint64_t t0 = nested_shim_monotonic_nanoseconds();
  usleep(2000);
  uint64_t t1 = nested_shim_monotonic_nanoseconds();
  CHECK(t1 - t0 >= 2000000 && t1 - t0 < 2000000000);

  CHECK(nested_shim_cpu_level() == level_from_proc());

#if defined(__x86_64__)
  volatile float tiny = FLT_MIN, half = 0.5f;
  fesetround(FE_UPWARD);
  feraiseexcept(FE_OVERFLOW);
  feclearexcept(FE_DIVBYZERO);
  uint64_t saved = nested_shim_float_enter();
  volatile float third = 1.0f / (half * 6), product = tiny * half, zero = 0, infinite = half / zero;
  nested_shim_float_leave(saved);
  CHECK(third == 0x1.555556p-2f); /* rounded to nearest */
  CHECK(product == 0 && infinite > FLT_MAX);
  CHECK(tiny * half > 0); /* subnormals are the host's again */
  CHECK(fegetround() == FE_UPWARD);
  CHECK(fetestexcept(FE_OVERFLOW | FE_DIVBYZERO) == FE_OVERFLOW);
  fesetround(FE_TONEAREST);
#endif

  CHECK(nested_shim_fork_watch() == 0 && nested_shim_fork_watch() == 0);
  CHECK(nested_shim_fork_count() == 0);
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    int good = nested_shim_fork_count() == 1;
    pid_t grandchild = fork();
    if (grandchild == 0) _exit(nested_shim_fork_count() == 2 ? 0 : 1);
    int status = 1;
    waitpid(grandchild, &status, 0);
    _exit(good && status == 0 ? 0 : 1);
  }
  int status = 1;
  waitpid(child, &status, 0);
  CHECK(status == 0 && nested_shim_fork_count() == 0);

  setenv("OPENBLAS_NUM_THREADS", "8", 1);
  setenv("OPENBLAS_CORETYPE", "Nehalem", 1);
  setenv("OMP_NUM_THREADS", "8", 1);
  setenv("GOTO_NUM_THREADS", "8", 1);
  setenv("SWIFT_ROOT", "/opt/swift", 1);
  setenv("NESTED_TEST", "yes", 1);
  CHECK(strcmp(getenv("OPENBLAS_NUM_THREADS"), "1") == 0);
  CHECK(!getenv("OPENBLAS_CORETYPE") && !getenv("OMP_NUM_THREADS") && !getenv("GOTO_NUM_THREADS"));
  CHECK(!getenv("SWIFT_ROOT") && strcmp(getenv("NESTED_TEST"), "yes") == 0 && !getenv("NESTED_NO"));
  CHECK(environ && !environ[0]);
  printf("ok %d\n", checks);
  return 0;
}
