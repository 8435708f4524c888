/* Loads the library and calls one function: prints what that changed in the process, and how long it took.
 * usage: load_probe LIBRARY. Exit status 0, and "changed: ..." lines where something did. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fenv.h>
#include <locale.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

typedef struct {
  struct sigaction handlers[65];
  sigset_t mask;
  stack_t stack;
  unsigned mxcsr; /* without the sticky flags, which any arithmetic sets */
  int rounding;
  char locale[256], cwd[4096], environment[65536], fds[4096];
  mode_t umask;
  struct rlimit limits[RLIM_NLIMITS];
  int threads;
} snapshot;

static int entries(const char *path, char *names, size_t size) {
  int count = 0;
  DIR *folder = opendir(path);
  struct dirent *entry;
  if (names) names[0] = 0;
  while (folder && (entry = readdir(folder))) {
    if (entry->d_name[0] == '.') continue;
    count++;
    if (names) strncat(strncat(names, entry->d_name, size - strlen(names) - 1), " ", size - strlen(names) - 1);
  }
  if (folder) closedir(folder);
  return count;
}

static void take(snapshot *s) {
  memset(s, 0, sizeof *s);
  for (int i = 1; i < 65; i++) sigaction(i, NULL, &s->handlers[i]);
  sigprocmask(SIG_BLOCK, NULL, &s->mask);
  sigaltstack(NULL, &s->stack);
#if defined(__x86_64__)
  s->mxcsr = __builtin_ia32_stmxcsr() & ~0x3fu;
#endif
  s->rounding = fegetround();
  snprintf(s->locale, sizeof s->locale, "%s", setlocale(LC_ALL, NULL));
  if (!getcwd(s->cwd, sizeof s->cwd)) s->cwd[0] = 0;
  for (char **v = environ; *v; v++)
    strncat(strncat(s->environment, *v, sizeof s->environment - strlen(s->environment) - 1), "\n",
        sizeof s->environment - strlen(s->environment) - 1);
  entries("/proc/self/fd", s->fds, sizeof s->fds);
  s->umask = umask(0);
  umask(s->umask);
  for (int i = 0; i < RLIM_NLIMITS; i++) getrlimit(i, &s->limits[i]);
  s->threads = entries("/proc/self/task", NULL, 0);
}

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

#define SAME(field) \
  if (memcmp(&a.field, &b.field, sizeof a.field) != 0) printf("changed: %s\n", #field)

static snapshot a, b;

int main(int count, char **arguments) {
  if (count != 2) return 2;
  double start, end;
  uint32_t (*version)(void);
  take(&a);
  start = now_ms();
  void *library = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
  *(void **)&version = dlsym(library, "nested_version");
  if (!version || version() == 0) return 1;
  end = now_ms();
  take(&b);
  for (int i = 1; i < 65; i++)
    if (a.handlers[i].sa_handler != b.handlers[i].sa_handler || a.handlers[i].sa_flags != b.handlers[i].sa_flags)
      printf("changed: handler of signal %d\n", i);
  SAME(mask);
  SAME(stack);
  SAME(mxcsr);
  SAME(rounding);
  SAME(locale);
  SAME(cwd);
  SAME(environment);
  SAME(fds);
  SAME(umask);
  SAME(limits);
  SAME(threads);
  dlclose(library);
  printf("kept after dlclose: %s\n", version() ? "yes" : "no"); /* a crash where it was unmapped */
  printf("ms: %.3f\n", end - start);
  return 0;
}
