// exp, log, σ and tanh of 16 lanes. One code for body and tail, so a value has the same bits
// wherever it stands. Polynomials as in Cephes (S. Moshier), evaluated with fma; measured errors
// are in README.md.

/// 1.5 · 2²³: adding it rounds a float of moderate size to the nearest integer, in the low bits.
private let rounder: Float = 12_582_912

/// e^x: x = n ln 2 + r, |r| ≤ ½ ln 2. Above 88.73 inf, below -104 zero, NaN stays NaN.
@inline(__always)
func exp16(_ x: Lanes) -> Lanes {
  var y = ifLess(splat(89), x, splat(89), x)
  y = ifLess(y, splat(-104), splat(-104), y)
  let shifted = fma(y, splat(1.442_695_04), splat(rounder))
  let n = shifted - splat(rounder)
  let r = fma(n, splat(2.121_944_4e-4), fma(n, splat(-0.693_359_375), y))
  var p = fma(splat(1.987_569_15e-4), r, splat(1.398_199_950_7e-3))
  p = fma(p, r, splat(8.333_451_907_3e-3))
  p = fma(p, r, splat(4.166_579_589_4e-2))
  p = fma(p, r, splat(1.666_666_545_9e-1))
  p = fma(p, r, splat(5.000_000_120_1e-1))
  p = fma(p, r * r, r) + splat(1)
  // 2^n in two factors: n runs from -150 to 128, a factor holds -126 ... 127.
  let power = LaneBits(of: shifted) - LaneBits(of: splat(rounder))
  let half = power >> 1
  let bias = LaneBits(repeating: 127)
  return p * ((half + bias) << 23).lanes * ((power - half + bias) << 23).lanes
}

/// ln x; -inf at 0 and at denormals (the library flushes them), NaN below 0.
@inline(__always)
func log16(_ x: Lanes) -> Lanes {
  // x = m 2^e with m in [√½, √2)
  let offset = LaneBits(repeating: 0x3f35_04f3)
  let shifted = LaneBits(of: x) - offset
  let m = ((shifted & LaneBits(repeating: 0x007f_ffff)) + offset).lanes
  let e = ((shifted >> 23) + LaneBits(of: splat(rounder))).lanes - splat(rounder)
  let t = m - splat(1)
  let square = t * t
  var p = fma(splat(7.037_683_629_2e-2), t, splat(-1.151_461_031_0e-1))
  p = fma(p, t, splat(1.167_699_874_0e-1))
  p = fma(p, t, splat(-1.242_014_084_6e-1))
  p = fma(p, t, splat(1.424_932_278_7e-1))
  p = fma(p, t, splat(-1.666_805_766_5e-1))
  p = fma(p, t, splat(2.000_071_476_5e-1))
  p = fma(p, t, splat(-2.499_999_399_3e-1))
  p = fma(p, t, splat(3.333_333_117_4e-1))
  var y = fma(e, splat(-2.121_944_4e-4), p * square * t)
  y = fma(square, splat(-0.5), y)
  y = fma(e, splat(0.693_359_375), t + y)
  y = ifLess(x, splat(.infinity), y, x)  // inf and NaN stay
  y = ifLess(x, splat(Float.leastNormalMagnitude), splat(-.infinity), y)
  return ifLess(x, splat(0), splat(.nan), y)
}

/// σ(x) = 1 / (1 + e^-x)
@inline(__always)
func sigmoid16(_ x: Lanes) -> Lanes { splat(1) / (splat(1) + exp16(-x)) }

/// x σ(x)
@inline(__always)
func silu16(_ x: Lanes) -> Lanes { x / (splat(1) + exp16(-x)) }

/// d silu(x) / dx = σ (1 + x (1 - σ))
@inline(__always)
func siluSlope16(_ x: Lanes) -> Lanes {
  let s = sigmoid16(x)
  return s * fma(x, splat(1) - s, splat(1))
}
