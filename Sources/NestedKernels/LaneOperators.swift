internal import CNestedShims

// Operators on `Lanes` that are one vector operation each (lanes.h says why Swift's own are not).
// They are more special than the generic ones, so every kernel of the module that writes a + b or
// s.addProduct(a, b) gets these.

@inline(__always)
func + (_ a: Lanes, _ b: Lanes) -> Lanes { nested_add16(a, b) }

@inline(__always)
func - (_ a: Lanes, _ b: Lanes) -> Lanes { nested_subtract16(a, b) }

@inline(__always)
func * (_ a: Lanes, _ b: Lanes) -> Lanes { nested_multiply16(a, b) }

@inline(__always)
func / (_ a: Lanes, _ b: Lanes) -> Lanes { nested_divide16(a, b) }

@inline(__always)
func += (_ a: inout Lanes, _ b: Lanes) { a = nested_add16(a, b) }

@inline(__always)
func -= (_ a: inout Lanes, _ b: Lanes) { a = nested_subtract16(a, b) }

@inline(__always)
func *= (_ a: inout Lanes, _ b: Lanes) { a = nested_multiply16(a, b) }

/// -a, the sign of zero and NaN included
@inline(__always)
prefix func - (_ a: Lanes) -> Lanes {
  nested_lanes16(nested_bits_subtract16(nested_bits16(a), nested_bits_splat16(Int32.min)))
}

extension SIMD16 where Scalar == Float {
  /// self += a b, rounded once
  @inline(__always)
  mutating func addProduct(_ a: Lanes, _ b: Lanes) { self = nested_fma16(a, b, self) }
}

@inline(__always)
func splat(_ x: Float) -> Lanes { nested_splat16(x) }

/// a b + c in one rounding.
@inline(__always)
func fma(_ a: Lanes, _ b: Lanes, _ c: Lanes) -> Lanes { nested_fma16(a, b, c) }

/// a < b ? x : y, lane by lane; y where a or b is NaN.
@inline(__always)
func ifLess(_ a: Lanes, _ b: Lanes, _ x: Lanes, _ y: Lanes) -> Lanes {
  nested_if_less16(a, b, x, y)
}

/// The first `count` lanes, the others 0.
@inline(__always)
func first(_ count: Int, of v: Lanes) -> Lanes { nested_first16(v, count) }

@inline(__always)
func squareRoot16(_ v: Lanes) -> Lanes { nested_sqrt16(v) }

/// a0 b0 a1 b1 … of the lower and of the upper halves.
@inline(__always)
func zip(_ a: Lanes, _ b: Lanes) -> (low: Lanes, high: Lanes) {
  (nested_zip_low16(a, b), nested_zip_high16(a, b))
}

/// The inverse: the even lanes of a and then of b, and the odd ones.
@inline(__always)
func unzip(_ a: Lanes, _ b: Lanes) -> (even: Lanes, odd: Lanes) {
  (nested_even16(a, b), nested_odd16(a, b))
}

/// The bits of 16 floats as integers; sums wrap around.
struct LaneBits {
  var bits: SIMD16<Int32>

  @inline(__always)
  init(_ bits: SIMD16<Int32>) { self.bits = bits }
  @inline(__always)
  init(of lanes: Lanes) { bits = nested_bits16(lanes) }
  @inline(__always)
  init(repeating value: Int32) { bits = nested_bits_splat16(value) }

  @inline(__always)
  var lanes: Lanes { nested_lanes16(bits) }

  @inline(__always)
  static func + (_ a: LaneBits, _ b: LaneBits) -> LaneBits {
    LaneBits(nested_bits_add16(a.bits, b.bits))
  }
  @inline(__always)
  static func - (_ a: LaneBits, _ b: LaneBits) -> LaneBits {
    LaneBits(nested_bits_subtract16(a.bits, b.bits))
  }
  @inline(__always)
  static func & (_ a: LaneBits, _ b: LaneBits) -> LaneBits {
    LaneBits(nested_bits_and16(a.bits, b.bits))
  }
  @inline(__always)
  static func | (_ a: LaneBits, _ b: LaneBits) -> LaneBits {
    LaneBits(nested_bits_or16(a.bits, b.bits))
  }
  @inline(__always)
  static func << (_ a: LaneBits, _ by: Int32) -> LaneBits {
    LaneBits(nested_bits_left16(a.bits, by))
  }
  @inline(__always)
  static func >> (_ a: LaneBits, _ by: Int32) -> LaneBits {
    LaneBits(nested_bits_right16(a.bits, by))
  }
}
