import Glibc

/// Counter-based randomness: Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1,
/// 2, 3", 2011).
///
/// A value is a pure function of (seed, stream, position): nothing is drawn in turn, so any part of
/// a sequence can be computed anywhere, in any order, and a saved position continues it. The seed
/// is the 64-bit key; the 128-bit counter is (position, stream). Every position is one block of 128
/// bits, whatever is read from it; two readers that must be independent of each other use two
/// streams.
public struct Philox: Equatable, Sendable {
  public let seed: UInt64
  public let stream: UInt32

  @inlinable
  public init(seed: UInt64, stream: UInt32) {
    self.seed = seed
    self.stream = stream
  }

  /// Ten rounds on one counter. Words in the order of the Random123 test vectors.
  @inlinable
  public static func block(counter: SIMD4<UInt32>, key: SIMD2<UInt32>) -> SIMD4<UInt32> {
    var (c0, c1, c2, c3) = (counter[0], counter[1], counter[2], counter[3])
    var (k0, k1) = (key[0], key[1])
    for _ in 0..<10 {
      let p0 = UInt64(c0) * 0xD251_1F53
      let p1 = UInt64(c2) * 0xCD9E_8D57
      c0 = UInt32(truncatingIfNeeded: p1 >> 32) ^ c1 ^ k0
      c1 = UInt32(truncatingIfNeeded: p1)
      c2 = UInt32(truncatingIfNeeded: p0 >> 32) ^ c3 ^ k1
      c3 = UInt32(truncatingIfNeeded: p0)
      k0 &+= 0x9E37_79B9
      k1 &+= 0xBB67_AE85
    }
    return SIMD4(c0, c1, c2, c3)
  }

  @inlinable
  public func block(at position: UInt64) -> SIMD4<UInt32> {
    Self.block(
      counter: SIMD4(
        UInt32(truncatingIfNeeded: position), UInt32(truncatingIfNeeded: position >> 32), stream, 0),
      key: SIMD2(UInt32(truncatingIfNeeded: seed), UInt32(truncatingIfNeeded: seed >> 32)))
  }

  /// 64 random bits.
  @inlinable
  public func bits(at position: UInt64) -> UInt64 {
    let words = block(at: position)
    return UInt64(words[1]) << 32 | UInt64(words[0])
  }

  /// Uniform in the open interval (0, 1): 2⁵² values, never 0 and never 1.
  @inlinable
  public func uniform(at position: UInt64) -> Double { Self.unit(bits(at: position)) }

  /// Standard normal by Box-Muller: √(-2 ln u₁) cos(2π u₂), both uniforms from the one block.
  public func normal(at position: UInt64) -> Double {
    let words = block(at: position)
    let u1 = Self.unit(UInt64(words[1]) << 32 | UInt64(words[0]))
    let u2 = Self.unit(UInt64(words[3]) << 32 | UInt64(words[2]))
    return (-2 * log(u1)).squareRoot() * cos(2 * Double.pi * u2)
  }

  /// Uniform in 0..<bound (bound > 0) by the high half of the product; its bias is below bound /
  /// 2⁶⁴.
  @inlinable
  public func index(below bound: Int, at position: UInt64) -> Int {
    Int(truncatingIfNeeded: bits(at: position).multipliedFullWidth(by: UInt64(bound)).high)
  }

  /// (top 52 bits + ½) / 2⁵².
  @inlinable
  static func unit(_ bits: UInt64) -> Double { (Double(bits >> 12) + 0.5) * 0x1p-52 }
}
