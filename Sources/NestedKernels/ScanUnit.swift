import NestedBase

/// Hands out pieces of a scratch buffer, front to back.
struct Scratch {
  private var next: Floats
  init(_ base: Floats) { next = base }
  mutating func take(_ count: Int) -> Floats {
    let piece = next
    next = next + roundUp16(count)
    return piece
  }
}

/// Memories that are written together (SPEC 2), with the scratch that one chunk of rows needs.
struct ScanUnit {
  let spec: ScanSpec
  let unit: UnitSpec
  let inner: RankOne
  let outer: RankOne
  let mask: Floats  // [columns]
  let residual: Floats  // [columns] 1 where the memory adds its input: column j of a block adds input j

  // [chunk, ·]
  let xInner: Floats, gInner: Floats, szInner: Floats, wv: Floats
  let xOuter: Floats, gOuter: Floats, szOuter: Floats, hv: Floats, hk: Floats
  let transposed: Floats  // [columns, F]
  let scaled: Floats

  init(_ spec: ScanSpec, _ index: Int, state: Floats, scratch: inout Scratch) {
    self.spec = spec
    unit = spec.unit(index)
    let m = unit.columns, chunk = unit.inner.chunk, f = unit.outer.n
    mask = scratch.take(m)
    residual = scratch.take(m)
    unit.fillMask(mask, residual, spec)
    var innerMask = mask
    if f > 0 {
      innerMask = scratch.take(f)
      innerMask.fill(unit.adapted != 0 ? 1 : 0, count: f)
    }
    inner = RankOne(layout: unit.inner, base: state, mask: innerMask, mu: spec.momentum, delta: spec.delta)
    outer = RankOne(
      layout: unit.outer, base: state + unit.inner.size, mask: mask, mu: spec.momentum,
      delta: spec.outerDelta)
    let mi = unit.inner.m, momentum = unit.inner.momentum
    xInner = scratch.take(chunk * mi)
    gInner = scratch.take(chunk * mi)
    szInner = scratch.take(momentum ? chunk * mi : 0)
    wv = scratch.take(chunk * max(mi, m))
    xOuter = scratch.take(f > 0 ? chunk * m : 0)
    gOuter = scratch.take(f > 0 ? chunk * m : 0)
    szOuter = scratch.take(f > 0 && momentum ? chunk * m : 0)
    hv = scratch.take(chunk * f)
    hk = scratch.take(chunk * f)
    transposed = scratch.take(m * f)
    scaled = scratch.take(chunk * max(mi, m))
  }

  static func scratchSize(_ spec: ScanSpec, _ index: Int) -> Int {
    let unit = spec.unit(index)
    let m = unit.columns, chunk = unit.inner.chunk, f = unit.outer.n, mi = unit.inner.m
    return 2 * m + f + chunk * (3 * mi + 2 * max(mi, m) + 3 * m + 2 * f) + m * f + 16 * 16
  }

  var isMLP: Bool { unit.outer.n > 0 }
  var adapted: Bool { unit.adapted != 0 }

  /// y[rows, count] = memory(x) at the chunk's first state, without residual, for `count` columns from `first` on.
  func evaluate(_ y: Floats, ldy: Int, _ x: Floats, rows: Int, first: Int, count: Int, hidden: Floats) {
    let w = inner.w
    if isMLP {
      let f = unit.outer.n
      tileGEMM(hidden, f, x, unit.inner.n, w, f, rows, f, unit.inner.n, accumulate: false)
      siluForward(hidden, hidden, rows * f)
      tileGEMM(y, ldy, hidden, f, outer.w + first, unit.columns, rows, count, f, accumulate: false)
    } else {
      tileGEMM(
        y, ldy, x, unit.inner.n, w + first, unit.columns, rows, count, unit.inner.n, accumulate: false)
    }
  }

  /// The errors and output gradients of a chunk's rows at its first state: fills xInner = z W_c, gInner, and for an
  /// mlp hk, xOuter, gOuter. k, v: [rows, d].
  func errors(_ k: Floats, _ v: Floats, rows: Int) {
    let d = spec.d, m = unit.columns, mi = unit.inner.m
    tileGEMM(xInner, mi, k, d, inner.w, mi, rows, mi, d, accumulate: false)
    if unit.inner.momentum {
      tileGEMM(szInner, mi, k, d, inner.s, mi, rows, mi, d, accumulate: false)
    }
    if !isMLP {
      tileGEMM(wv, m, v, d, inner.w, m, rows, m, d, accumulate: false)
      for row in 0..<rows {
        error(gInner + row * m, xInner + row * m, wv + row * m, k + row * d, v + row * d)
      }
      return
    }
    let f = unit.outer.n
    siluForward(hk, xInner, rows * f)
    tileGEMM(hv, f, v, d, inner.w, f, rows, f, d, accumulate: false)
    siluForward(hv, hv, rows * f)
    tileGEMM(xOuter, m, hk, f, outer.w, m, rows, m, f, accumulate: false)
    tileGEMM(wv, m, hv, f, outer.w, m, rows, m, f, accumulate: false)
    if unit.outer.momentum {
      tileGEMM(szOuter, m, hk, f, outer.s, m, rows, m, f, accumulate: false)
    }
    for row in 0..<rows {
      error(gOuter + row * m, xOuter + row * m, wv + row * m, k + row * d, v + row * d)
    }
    // δ = φ'(W2 k) ⊙ (W1ᵀ e)
    transpose(transposed, outer.w, f, m)
    tileGEMM(gInner, f, gOuter, m, transposed, f, rows, f, m, accumulate: false)
    siluDerivativeTimes(gInner, xInner, rows * f)
  }

  /// e = (k + W k) - (v + W v) under l2, -(v + W v) under dot; padded columns stay zero.
  @inline(__always)
  private func error(_ e: Floats, _ wk: Floats, _ wv: Floats, _ k: Floats, _ v: Floats) {
    let d = spec.d
    var block = 0
    while block < unit.columns {
      let adds = residual[block] != 0
      let width = adds ? d : 16
      var j = 0
      while j < width {
        var value = wv.load16(block + j)
        if adds { value += v.load16(j) }
        if spec.dot {
          value = -value
        } else {
          value = wk.load16(block + j) - value
          if adds { value += k.load16(j) }
        }
        e.store16(value, block + j)
        j += 16
      }
      block += width
    }
  }

  /// Writes row `row` of the chunk. z = k [d].
  @inline(__always)
  func write(_ row: Int, _ k: Floats, _ eta: Float, _ alpha: Float) {
    let mi = unit.inner.m
    inner.write(xInner + row * mi, szInner + row * mi, k, gInner + row * mi, eta, alpha)
    if isMLP {
      let m = unit.columns
      outer.write(
        xOuter + row * m, szOuter + row * m, hk + row * unit.outer.n, gOuter + row * m, eta, alpha)
    }
  }

  func fold() {
    inner.fold(scaled)
    if isMLP { outer.fold(scaled) }
  }
}

extension UnitSpec {
  /// mask: columns written in context; residual: columns whose memory adds its input.
  func fillMask(_ mask: Floats, _ residual: Floats, _ spec: ScanSpec) {
    let d = spec.d
    func block(_ offset: Int, _ width: Int, _ member: Int, adds: Bool) {
      (mask + offset).fill(adapted & member != 0 ? 1 : 0, count: width)
      (residual + offset).fill(adds ? 1 : 0, count: width)
    }
    if members & (members - 1) == 0 {  // one memory
      block(0, columns, members, adds: members != ScanSpec.eta && members != ScanSpec.alpha)
      return
    }
    block(0, d, ScanSpec.k, adds: true)
    block(d, 16, ScanSpec.eta, adds: false)
    mask[d + 1] = adapted & ScanSpec.alpha != 0 ? 1 : 0
    block(d + 16, d, ScanSpec.v, adds: true)
    if members & ScanSpec.q != 0 { block(2 * d + 16, d, ScanSpec.q, adds: true) }
  }
}

/// y[cols, rows] = x[rows, cols]ᵀ
func transpose(_ y: Floats, _ x: Floats, _ rows: Int, _ cols: Int) {
  for i in 0..<rows {
    for j in 0..<cols { y[j * rows + i] = x[i * cols + j] }
  }
}

/// g ⊙= silu'(x)
func siluDerivativeTimes(_ g: Floats, _ x: Floats, _ count: Int) {
  var i = 0
  while i < count {
    g.store16(g.load16(i) * siluSlope16(x.load16(i)), i)
    i += 16
  }
}
