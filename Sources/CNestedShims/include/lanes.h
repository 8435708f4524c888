#pragma once

/*
 * The operations of the kernels on 16 floats, each one vector operation. Swift's SIMD16<Float>
 * writes a + b as 16 scalar additions and trusts the optimizer to find the vector again; in long
 * functions it finds four short ones. It takes the square root lane by lane through libm, a
 * comparison with replacement is a loop to its optimizer, and there is no way to load or store the
 * beginning of a vector. Compiled into the kernels for their CPU class.
 */
typedef float nested_lanes __attribute__((ext_vector_type(16)));

typedef int nested_lane_bits __attribute__((ext_vector_type(16)));
typedef unsigned nested_lane_unsigned __attribute__((ext_vector_type(16)));

#define NESTED_LANES_INLINE static inline __attribute__((always_inline))

NESTED_LANES_INLINE nested_lanes nested_splat16(float x) { return (nested_lanes)x; }
NESTED_LANES_INLINE nested_lanes nested_add16(nested_lanes a, nested_lanes b) { return a + b; }
NESTED_LANES_INLINE nested_lanes nested_subtract16(nested_lanes a, nested_lanes b) { return a - b; }
NESTED_LANES_INLINE nested_lanes nested_multiply16(nested_lanes a, nested_lanes b) { return a * b; }
NESTED_LANES_INLINE nested_lanes nested_divide16(nested_lanes a, nested_lanes b) { return a / b; }
NESTED_LANES_INLINE nested_lanes nested_sqrt16(nested_lanes x) {
  return __builtin_elementwise_sqrt(x);
}
/** a b + c, rounded once */
NESTED_LANES_INLINE nested_lanes nested_fma16(nested_lanes a, nested_lanes b, nested_lanes c) {
  return __builtin_elementwise_fma(a, b, c);
}
/** a < b ? x : y in each lane; y where a or b is NaN */
NESTED_LANES_INLINE nested_lanes nested_if_less16(
    nested_lanes a, nested_lanes b, nested_lanes x, nested_lanes y) {
  return a < b ? x : y;
}
/** The first count lanes of x, the others 0 */
NESTED_LANES_INLINE nested_lanes nested_first16(nested_lanes x, long count) {
  const nested_lane_bits lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return lane < (nested_lane_bits)(int)count ? x : (nested_lanes)0.0f;
}

/** a0 b0 a1 b1 … a7 b7, and the same of the upper halves */
NESTED_LANES_INLINE nested_lanes nested_zip_low16(nested_lanes a, nested_lanes b) {
  return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}
NESTED_LANES_INLINE nested_lanes nested_zip_high16(nested_lanes a, nested_lanes b) {
  return __builtin_shufflevector(
      a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}
/** a0 a2 … a14 b0 b2 … b14, and a1 a3 … b15 */
NESTED_LANES_INLINE nested_lanes nested_even16(nested_lanes a, nested_lanes b) {
  return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
}
NESTED_LANES_INLINE nested_lanes nested_odd16(nested_lanes a, nested_lanes b) {
  return __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
}

/** The bits as they are, and back */
NESTED_LANES_INLINE nested_lane_bits nested_bits16(nested_lanes x) { return (nested_lane_bits)x; }
NESTED_LANES_INLINE nested_lanes nested_lanes16(nested_lane_bits x) { return (nested_lanes)x; }
NESTED_LANES_INLINE nested_lane_bits nested_bits_splat16(int x) { return (nested_lane_bits)x; }
NESTED_LANES_INLINE nested_lane_bits nested_bits_add16(nested_lane_bits a, nested_lane_bits b) {
  return (nested_lane_bits)((nested_lane_unsigned)a +
                            (nested_lane_unsigned)b);
}
NESTED_LANES_INLINE nested_lane_bits nested_bits_subtract16(
    nested_lane_bits a, nested_lane_bits b) {
  return (nested_lane_bits)((nested_lane_unsigned)a -
                            (nested_lane_unsigned)b);
}
NESTED_LANES_INLINE nested_lane_bits nested_bits_and16(nested_lane_bits a, nested_lane_bits b) {
  return a & b;
}
NESTED_LANES_INLINE nested_lane_bits nested_bits_or16(nested_lane_bits a, nested_lane_bits b) {
  return a | b;
}
NESTED_LANES_INLINE nested_lane_bits nested_bits_left16(nested_lane_bits a, int by) {
  return (nested_lane_bits)((nested_lane_unsigned)a << (unsigned)by);
}
/** Keeps the sign */
NESTED_LANES_INLINE nested_lane_bits nested_bits_right16(nested_lane_bits a, int by) {
  return a >> by;
}

#if defined(__AVX512F__)

/** The first count (0 to 16) floats at p, the other lanes 0. */
NESTED_LANES_INLINE nested_lanes nested_load_part(const float *p, long count) {
  return __builtin_ia32_loadups512_mask(p, (nested_lanes)0.0f, (unsigned short)((1u << count) - 1));
}
/** The first count (0 to 16) lanes to p. */
NESTED_LANES_INLINE void nested_store_part(float *p, nested_lanes x, long count) {
  __builtin_ia32_storeups512_mask(p, x, (unsigned short)((1u << count) - 1));
}

#elif defined(__AVX__)

typedef float nested_eight __attribute__((vector_size(32)));
typedef int nested_mask __attribute__((vector_size(32)));

NESTED_LANES_INLINE nested_mask nested_first(long count) {
  const nested_mask lane = {0, 1, 2, 3, 4, 5, 6, 7};
  return lane < (int)count;
}
NESTED_LANES_INLINE nested_lanes nested_load_part(const float *p, long count) {
  nested_eight low = __builtin_ia32_maskloadps256((const nested_eight *)p, nested_first(count));
  nested_eight high = __builtin_ia32_maskloadps256(
      (const nested_eight *)(p + 8), nested_first(count - 8));
  return __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}
NESTED_LANES_INLINE void nested_store_part(float *p, nested_lanes x, long count) {
  nested_eight low = __builtin_shufflevector(x, x, 0, 1, 2, 3, 4, 5, 6, 7);
  nested_eight high = __builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15);
  __builtin_ia32_maskstoreps256((nested_eight *)p, nested_first(count), low);
  __builtin_ia32_maskstoreps256((nested_eight *)(p + 8), nested_first(count - 8), high);
}

#else

NESTED_LANES_INLINE nested_lanes nested_load_part(const float *p, long count) {
  nested_lanes x = (nested_lanes)0.0f;
  for (long i = 0; i < count; i++) x[i] = p[i];
  return x;
}
NESTED_LANES_INLINE void nested_store_part(float *p, nested_lanes x, long count) {
  for (long i = 0; i < count; i++) p[i] = x[i];
}

#endif
