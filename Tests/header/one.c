/* The header in the first of two translation units, twice; compiled as every standard of C and C++ by `make test`. */
#include "nested.h"
#include "nested.h"

#include <stdio.h>

unsigned version_seen_by_two(void);

int main(void) {
  nested_run run;
  NESTED_INIT(run);
  if (run.struct_size != sizeof run || nested_version() != NESTED_VERSION || version_seen_by_two() != NESTED_VERSION)
    return 1;
  puts("ok 1");
  return 0;
}
