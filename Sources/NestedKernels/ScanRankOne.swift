import NestedBase

// One weight under delta gradient descent, advanced row by row within a chunk and folded at its end (SPEC 2):
//
//     W_t = α_t W_{t-1} - r_t z_tᵀ,   r_t = η_t x_t,   x_t = W_{t-1} z_t + g_t   (x_t = g_t without the delta term)
//
// W_{t-1} z_t is g W_c z_t - Σ_{s<t} coef_s (z_s·z_t) r_s: a matrix product with the chunk's first state and a
// short sum. Every value is one chain in a fixed order, so a chunk fed row by row has the bits of a chunk fed whole.
// With momentum r_t = η_t W_{t-1} z_t alone and S_t = μ S_{t-1} + g_t z_tᵀ is subtracted with weight η_t.

/// Dot product of two rows whose length is a multiple of 16.
@inline(__always)
func rowDot(_ a: Floats, _ b: Floats, _ n: Int) -> Float {
  var sum = SIMD16<Float>.zero
  var i = 0
  while i < n {
    sum.addProduct(a.load16(i), b.load16(i))
    i += 16
  }
  return sum.sum()
}

/// y += s a, rows of a multiple of 16.
@inline(__always)
func rowAdd(_ y: Floats, _ s: Float, _ a: Floats, _ n: Int) {
  let factor = SIMD16<Float>(repeating: s)
  var i = 0
  while i < n {
    var v = y.load16(i)
    v.addProduct(factor, a.load16(i))
    y.store16(v, i)
    i += 16
  }
}

/// y = s a, rows of a multiple of 16.
@inline(__always)
func rowScale(_ y: Floats, _ s: Float, _ a: Floats, _ n: Int) {
  let factor = SIMD16<Float>(repeating: s)
  var i = 0
  while i < n {
    y.store16(factor * a.load16(i), i)
    i += 16
  }
}

/// y = s a ⊙ mask
@inline(__always)
func rowScaleMasked(_ y: Floats, _ s: Float, _ a: Floats, _ mask: Floats, _ n: Int) {
  let factor = SIMD16<Float>(repeating: s)
  var i = 0
  while i < n {
    y.store16(factor * a.load16(i) * mask.load16(i), i)
    i += 16
  }
}

/// A weight's streaming state, as `WeightLayout` places it.
struct RankOne {
  let layout: WeightLayout
  let base: Floats
  let mask: Floats  // [m] 1 = written in context, 0 = constant
  let mu: Float
  let delta: Bool

  var w: Floats { base }
  var s: Floats { base + layout.s }
  var z: Floats { base + layout.z }
  var r: Floats { base + layout.r }
  var g: Floats { base + layout.g }
  var coef: Floats { base + layout.coef }
  var mcoef: Floats { base + layout.mcoef }
  var powers: Floats { base + layout.powers }
  var scalars: Floats { base + layout.scalars }
  var pending: Int { Int(scalars[3]) }

  /// A chunk begins: no rows, W = W_c.
  func restart() {
    scalars[0] = 1
    scalars[1] = 0
    scalars[2] = 1
    scalars[3] = 0
  }

  /// y_i = W_{now} q_i without the product with W_c (and S_c), which the caller has put into y (and sq).
  @inline(__always)
  func read(_ y: Floats, _ q: Floats, _ sq: Floats) {
    let n = layout.n, m = layout.m, count = pending
    rowScale(y, scalars[0], y, m)
    if layout.momentum { rowAdd(y, -scalars[1], sq, m) }
    for row in 0..<count {
      let product = rowDot(z + row * n, q, n)
      rowAdd(y, -coef[row] * product, r + row * m, m)
      if layout.momentum { rowAdd(y, -mcoef[row] * product, g + row * m, m) }
    }
  }

  /// Writes one token. `x` holds z W_c on entry (with the delta term) and x_t on return; `sz` holds z S_c.
  @inline(__always)
  func write(_ x: Floats, _ sz: Floats, _ zt: Floats, _ gt: Floats, _ eta: Float, _ alpha: Float) {
    let n = layout.n, m = layout.m, t = pending
    if delta {
      read(x, zt, sz)
    } else {
      rowScale(x, 0, gt, m)
    }
    if !layout.momentum { rowAdd(x, 1, gt, m) }
    (z + t * n).copy(from: zt, count: n)
    rowScaleMasked(r + t * m, eta, x, mask, m)
    for row in 0..<t { coef[row] *= alpha }
    coef[t] = 1
    if layout.momentum {
      rowScaleMasked(g + t * m, 1, gt, mask, m)
      for row in 0..<t {
        powers[row] *= mu
        mcoef[row] = (eta * powers[row]).addingProduct(alpha, mcoef[row])
      }
      powers[t] = 1
      mcoef[t] = eta
      scalars[2] *= mu
      scalars[1] = (eta * scalars[2]).addingProduct(alpha, scalars[1])
    }
    scalars[0] *= alpha
    scalars[3] = Float(t + 1)
  }

  /// Ends the chunk: W_c becomes W_t, S_c becomes S_t. `scaled` [chunk, m] is scratch.
  func fold(_ scaled: Floats) {
    let n = layout.n, m = layout.m, count = pending
    if count == 0 { return restart() }
    for row in 0..<count {
      rowScale(scaled + row * m, -coef[row], r + row * m, m)
      if layout.momentum { rowAdd(scaled + row * m, -mcoef[row], g + row * m, m) }
    }
    let g0 = scalars[0], kappa = layout.momentum ? scalars[1] : 0
    for i in 0..<n {
      var j = 0
      while j < m {
        let keep = mask.load16(j)
        var value = w.load16(i * m + j) * (g0 * keep + (1 - keep))
        if layout.momentum { value.addProduct(-kappa * keep, s.load16(i * m + j)) }
        w.store16(value, i * m + j)
        j += 16
      }
    }
    tileGEMMTransposedA(w, m, z, n, scaled, m, n, m, count, accumulate: true)
    if layout.momentum {
      for row in 0..<count { rowScale(scaled + row * m, powers[row], g + row * m, m) }
      rowScale(s, scalars[2], s, n * m)
      tileGEMMTransposedA(s, m, z, n, scaled, m, n, m, count, accumulate: true)
    }
    restart()
  }
}
