package import NestedBase

/// y[rows, out] (+)= x[rows, in] Wᵀ with W packed by `packTransposed`, for the panels
/// firstPanel ..< firstPanel + panelCount (32 columns of y each, cut off at `out`).
///
/// Row-invariant: a row's result has the same bits alone or among any others, for any split into
/// panels. y may not overlap x or the weights; a row stride may be larger than the row.
package func linearForward(
  _ y: Floats, ldy: Int, _ x: Floats, ldx: Int, _ packed: Floats, rows: Int, out: Int,
  in depth: Int,
  firstPanel: Int, panelCount: Int, accumulate: Bool
) {
  var j = firstPanel * 32
  let end = min(out, j + panelCount * 32)
  if rows == 1 {
    while j + 64 <= end {
      rowOf64(y + j, x, packed + j * depth, packed + (j + 32) * depth, depth, accumulate)
      j += 64
    }
  }
  while j < end {
    panelColumns(
      y + j, ldy, min(32, out - j), x, ldx, 1, packed + j * depth, rows, depth, accumulate)
    j += 32
  }
}

/// y[64] (+)= x[in] · two panels: one row needs two panels at once to hide the latency of its
/// chains.
@inline(__always)
private func rowOf64(
  _ y: Floats, _ x: Floats, _ first: Floats, _ second: Floats, _ depth: Int, _ accumulate: Bool
) {
  var y0 = Lanes.zero, y1 = Lanes.zero, y2 = Lanes.zero, y3 = Lanes.zero
  if accumulate {
    y0 = y.load16(0)
    y1 = y.load16(16)
    y2 = y.load16(32)
    y3 = y.load16(48)
  }
  for p in 0..<depth {
    let a = splat(x[p])
    y0.addProduct(a, first.load16(p * 32))
    y1.addProduct(a, first.load16(p * 32 + 16))
    y2.addProduct(a, second.load16(p * 32))
    y3.addProduct(a, second.load16(p * 32 + 16))
  }
  y.store16(y0, 0)
  y.store16(y1, 16)
  y.store16(y2, 32)
  y.store16(y3, 48)
}
