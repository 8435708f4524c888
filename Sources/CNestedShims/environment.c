/*
 * What the library's own parts see of the environment. The library is linked with --wrap=getenv
 * and --wrap=environ, so that every reference inside it (OpenBLAS, the Swift runtime) comes here,
 * and no reference outside it does.
 */
#include <stddef.h>
#include <string.h>

char *__real_getenv(const char *name);
char *__wrap_getenv(const char *name);

/* OpenBLAS starts no thread and picks its kernels by the processor alone; the Swift runtime has no
 * debugging switches, and installs no crash handler where SWIFT_ROOT is set. */
char *__wrap_getenv(const char *name) {
  static const char *const hidden[] = {"OPENBLAS_", "GOTO_", "OMP_", "SWIFT_"};
  static char one[] = "1";
  if (strcmp(name, "OPENBLAS_NUM_THREADS") == 0) return one;
  for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
    if (strncmp(name, hidden[i], strlen(hidden[i])) == 0) return NULL;
  return __real_getenv(name);
}

/* The Swift runtime reads its switches from `environ`, not by getenv: it finds an empty one. */
static char *nothing[] = {NULL};
extern char **__wrap_environ;
char **__wrap_environ = nothing;

/* Debian's libjansson.a is compiled for programs, not for shared libraries: where json_loadf looks
 * whether it was given stdin, it takes the variable for a neighbour. Nothing here calls json_loadf;
 * a neighbour it is. */
extern void *__wrap_stdin;
void *__wrap_stdin = NULL;
