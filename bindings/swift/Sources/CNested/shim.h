/* The installed header. */
#include <nested.h>
