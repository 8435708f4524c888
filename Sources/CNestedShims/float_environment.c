#include "float_environment.h"

#if defined(__x86_64__)
#include <xmmintrin.h>

/* MXCSR: exceptions masked (7-12), round to nearest (13-14 = 0), DAZ (6), FTZ (15). */
enum { LIBRARY_MXCSR = 0x1f80 | 1 << 6 | 1 << 15 };

uint64_t nested_shim_float_enter(void) {
  unsigned saved = _mm_getcsr();
  _mm_setcsr(LIBRARY_MXCSR);
  return saved;
}

void nested_shim_float_leave(uint64_t saved) { _mm_setcsr((unsigned)saved); }

#elif defined(__aarch64__)

/* FPCR: flush to zero (24), everything else at its default. */
uint64_t nested_shim_float_enter(void) {
  uint64_t saved;
  __asm__ volatile("mrs %0, fpcr" : "=r"(saved));
  __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)1 << 24));
  return saved;
}

void nested_shim_float_leave(uint64_t saved) {
  __asm__ volatile("msr fpcr, %0" : : "r"(saved));
}

#else

uint64_t nested_shim_float_enter(void) { return 0; }
void nested_shim_float_leave(uint64_t saved) { (void)saved; }

#endif
