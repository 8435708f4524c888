package import NestedBase

/// y = x rstd w with rstd[r] = 1 / √(mean x² + eps), row by row.
package func rmsNormForward(
  _ y: Floats,  // [rows, cols], may be x
  _ rstd: Floats,  // [rows]
  _ x: Floats,  // [rows, cols]
  _ w: Floats,  // [cols]
  _ rows: Int, _ cols: Int, _ eps: Float
) {
  for r in 0..<rows {
    let x = x + r * cols
    let inverse = 1 / (dot(x, x, cols) / Float(cols) + eps).squareRoot()
    rstd[r] = inverse
    mapLanes(y + r * cols, x, w, cols) { x, w in x * splat(inverse) * w }
  }
}

/// With x̂ = x rstd and g = dy w:  dx += rstd (g - x̂ mean(g x̂)),  dw += Σ_rows dy x̂.
package func rmsNormBackward(
  _ dx: Floats,  // [rows, cols] +=
  _ dw: Floats,  // [cols] +=
  _ dy: Floats,  // [rows, cols]
  _ x: Floats,  // [rows, cols]
  _ w: Floats,  // [cols]
  _ rstd: Floats,  // [rows]
  _ rows: Int, _ cols: Int
) {
  for r in 0..<rows {
    let (dx, dy, x, inverse) = (dx + r * cols, dy + r * cols, x + r * cols, rstd[r])
    // mean(g x̂) and dw in one pass, dx in the next.
    var s0 = Lanes.zero
    var s1 = Lanes.zero
    var i = 0
    while i + 32 <= cols {
      let t0 = dy.load16(i) * (x.load16(i) * splat(inverse))
      let t1 = dy.load16(i + 16) * (x.load16(i + 16) * splat(inverse))
      s0.addProduct(t0, w.load16(i))
      s1.addProduct(t1, w.load16(i + 16))
      dw.store16(dw.load16(i) + t0, i)
      dw.store16(dw.load16(i + 16) + t1, i + 16)
      i += 32
    }
    while i < cols {
      let n = min(16, cols - i)
      let t = dy.load(i, n) * (x.load(i, n) * splat(inverse))
      s0.addProduct(t, w.load(i, n))
      dw.store(dw.load(i, n) + t, i, n)
      i += 16
    }
    let back = inverse * (laneSum(s0 + s1) / Float(cols)) * inverse
    i = 0
    while i < cols {
      let n = min(16, cols - i)
      let g = fma(dy.load(i, n) * w.load(i, n), splat(inverse), dx.load(i, n))
      dx.store(fma(x.load(i, n), splat(-back), g), i, n)
      i += 16
    }
  }
}
