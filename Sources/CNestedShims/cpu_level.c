#include "cpu_level.h"

#if defined(__x86_64__)
#include <cpuid.h>

/* The x86-64 psABI, table "Micro-Architecture Levels". */
#define BIT(n) (1u << (n))

/* SSE3, SSSE3, FMA, CMPXCHG16B, SSE4.1, SSE4.2, MOVBE, POPCNT, OSXSAVE (xgetbv may be asked), AVX,
 * F16C */
static const unsigned leaf1_ecx_v3 = BIT(0) | BIT(9) | BIT(12) | BIT(13) | BIT(19) | BIT(20) |
                                     BIT(22) | BIT(23) | BIT(27) | BIT(28) | BIT(29);
/* BMI1, AVX2, BMI2 */
static const unsigned leaf7_ebx_v3 = BIT(3) | BIT(5) | BIT(8);
/* LAHF, LZCNT */
static const unsigned extended_ecx_v3 = BIT(0) | BIT(5);
/* AVX512F, DQ, CD, BW, VL */
static const unsigned leaf7_ebx_v4 = BIT(16) | BIT(17) | BIT(28) | BIT(30) | BIT(31);

/* What the operating system saves: XMM and the upper halves of YMM; mask registers, the upper
 * halves of ZMM 0-15, and ZMM 16-31. */
static const unsigned saved_v3 = BIT(1) | BIT(2);
static const unsigned saved_v4 = BIT(1) | BIT(2) | BIT(5) | BIT(6) | BIT(7);

static int has(unsigned value, unsigned bits) { return (value & bits) == bits; }

int nested_shim_cpu_level(void) {
  unsigned eax, ebx, ecx, edx;
  if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !has(ecx, leaf1_ecx_v3)) return 0;
  if (!__get_cpuid(0x80000001u, &eax, &ebx, &ecx, &edx) || !has(ecx, extended_ecx_v3)) return 0;
  if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) || !has(ebx, leaf7_ebx_v3)) return 0;

  unsigned saved, high;
  __asm__ volatile("xgetbv" : "=a"(saved), "=d"(high) : "c"(0));
  if (!has(saved, saved_v3)) return 0;
  return has(ebx, leaf7_ebx_v4) && has(saved, saved_v4) ? 4 : 3;
}
#else
int nested_shim_cpu_level(void) { return 0; }
#endif
