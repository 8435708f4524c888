package import NestedBase

// silu(conv4(x)): depth-wise causal convolution over time, window 4, tap 3 is the current row (SPEC
// 2). p[t] = Σ_j w[·, j] x[t - 3 + j],  y = silu(p). Rows before 0 come from `tail`. 16 channels at
// a time go down the rows with the last three inputs in registers.

/// The four taps of 16 channels.
private struct Taps {
  var w0, w1, w2, w3: Lanes

  /// w [channels, 4]
  @inline(__always)
  init(_ w: Floats, _ channels: Int) {
    let count = channels * 4
    // a: channels 0-3, b: 4-7, …; each channel's taps stand together.
    let a = w.load(0, min(16, count))
    let b = count > 16 ? w.load(16, min(16, count - 16)) : .zero
    let c = count > 32 ? w.load(32, min(16, count - 32)) : .zero
    let d = count > 48 ? w.load(48, min(16, count - 48)) : .zero
    let low = unzip(a, b)  // taps 0 2 0 2 … and 1 3 1 3 … of channels 0-7
    let high = unzip(c, d)
    (w0, w2) = unzip(low.even, high.even)
    (w1, w3) = unzip(low.odd, high.odd)
  }

  @inline(__always)
  func apply(_ x0: Lanes, _ x1: Lanes, _ x2: Lanes, _ x3: Lanes) -> Lanes {
    fma(w3, x3, fma(w2, x2, fma(w1, x1, w0 * x0)))
  }
}

/// y = silu(conv4(x)) for `d` channels; rows of x, y and tail are `ld` floats apart.
package func shortConvForward(
  _ y: Floats,  // [rows, d]; not x
  _ x: Floats,  // [rows, d]
  _ w: Floats,  // [d, 4]
  _ tail: Floats,  // [3, d], the inputs before row 0, oldest first
  _ rows: Int, _ d: Int, _ ld: Int
) {
  var i = 0
  while i < d {
    let n = min(16, d - i)
    let taps = Taps(w + i * 4, n)
    var x0 = tail.load(i, n)
    var x1 = tail.load(ld + i, n)
    var x2 = tail.load(2 * ld + i, n)
    for t in 0..<rows {
      let x3 = x.load(t * ld + i, n)
      y.store(silu16(taps.apply(x0, x1, x2, x3)), t * ld + i, n)
      x0 = x1
      x1 = x2
      x2 = x3
    }
    i += 16
  }
}

/// dp = dy silu'(p), p computed again;  dx[t] = Σ_j w[·, 3 - j] dp[t + j],  dw[·, j] += Σ_t dp[t]
/// x[t - 3 + j]. The tail is a constant: no gradient goes to it.
package func shortConvBackward(
  _ dx: Floats,  // [rows, d] =; not x, may be dy
  _ dw: Floats,  // [d, 4] +=
  _ dy: Floats,  // [rows, d]
  _ x: Floats,  // [rows, d]
  _ w: Floats,  // [d, 4]
  _ tail: Floats,  // [3, d]
  _ rows: Int, _ d: Int, _ ld: Int
) {
  var i = 0
  while i < d {
    let n = min(16, d - i)
    let taps = Taps(w + i * 4, n)
    var x0 = tail.load(i, n)
    var x1 = tail.load(ld + i, n)
    var x2 = tail.load(2 * ld + i, n)
    // dx of the last three rows, still without what later rows add to them.
    var open0 = Lanes.zero
    var open1 = Lanes.zero
    var open2 = Lanes.zero
    var dw0 = Lanes.zero
    var dw1 = Lanes.zero
    var dw2 = Lanes.zero
    var dw3 = Lanes.zero
    for t in 0..<rows {
      let x3 = x.load(t * ld + i, n)
      let dp = dy.load(t * ld + i, n) * siluSlope16(taps.apply(x0, x1, x2, x3))
      dw0 = fma(dp, x0, dw0)
      dw1 = fma(dp, x1, dw1)
      dw2 = fma(dp, x2, dw2)
      dw3 = fma(dp, x3, dw3)
      if t >= 3 { dx.store(fma(taps.w0, dp, open0), (t - 3) * ld + i, n) }
      open0 = fma(taps.w1, dp, open1)
      open1 = fma(taps.w2, dp, open2)
      open2 = taps.w3 * dp
      x0 = x1
      x1 = x2
      x2 = x3
    }
    if rows >= 3 { dx.store(open0, (rows - 3) * ld + i, n) }
    if rows >= 2 { dx.store(open1, (rows - 2) * ld + i, n) }
    if rows >= 1 { dx.store(open2, (rows - 1) * ld + i, n) }
    addTaps(dw + i * 4, dw0, dw1, dw2, dw3, n)
    i += 16
  }
}

/// dw[c, j] += d_j[c] for 16 channels or fewer
private func addTaps(
  _ dw: Floats, _ d0: Lanes, _ d1: Lanes, _ d2: Lanes, _ d3: Lanes, _ channels: Int
) {
  let even = zip(d0, d2)  // 0 2 0 2 … of channels 0-7, of channels 8-15
  let odd = zip(d1, d3)
  let low = zip(even.low, odd.low)
  let high = zip(even.high, odd.high)
  let count = channels * 4
  addPart(dw, low.low, 0, count)
  addPart(dw, low.high, 16, count)
  addPart(dw, high.low, 32, count)
  addPart(dw, high.high, 48, count)
}

@inline(__always)
private func addPart(_ y: Floats, _ v: Lanes, _ i: Int, _ end: Int) {
  let n = min(16, end - i)
  if n > 0 { y.store(y.load(i, n) + v, i, n) }
}
