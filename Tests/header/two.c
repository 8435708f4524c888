/* The header in the second translation unit: nothing in it may be defined twice. */
#include "nested.h"
#include "nested.h"

unsigned version_seen_by_two(void);
unsigned version_seen_by_two(void) { return (unsigned)nested_version(); }
