package import NestedBase

/// The mixer's output: y = (o rstd w) ⊙ silu(gate), rstd over each head's d channels (SPEC 2,
/// Output).
package func gatedHeadNormForward(
  _ y: Floats,  // [rows, heads d]
  _ rstd: Floats,  // [rows, heads]
  _ o: Floats,  // [rows, heads d]
  _ w: Floats,  // [heads d]
  _ gate: Floats,  // [rows, heads d]
  _ rows: Int, _ heads: Int, _ d: Int, _ eps: Float
) {
  for r in 0..<rows {
    for h in 0..<heads {
      let at = (r * heads + h) * d
      let (y, o, w, gate) = (y + at, o + at, w + h * d, gate + at)
      let inverse = 1 / (dot(o, o, d) / Float(d) + eps).squareRoot()
      rstd[r * heads + h] = inverse
      var i = 0
      while i < d {
        let n = min(16, d - i)
        y.store(o.load(i, n) * splat(inverse) * w.load(i, n) * silu16(gate.load(i, n)), i, n)
        i += 16
      }
    }
  }
}

/// With ô = o rstd, s = silu(gate), g = dy w s:  dO = rstd (g - ô mean_head(g ô)),  dw += Σ_rows dy
/// s ô, dGate = dy w ô silu'(gate).
package func gatedHeadNormBackward(
  _ dO: Floats,  // [rows, heads d] =
  _ dw: Floats,  // [heads d] +=
  _ dGate: Floats,  // [rows, heads d] =
  _ dy: Floats,  // [rows, heads d]
  _ o: Floats,  // [rows, heads d]
  _ w: Floats,  // [heads d]
  _ gate: Floats,  // [rows, heads d]
  _ rstd: Floats,  // [rows, heads]
  _ rows: Int, _ heads: Int, _ d: Int
) {
  for r in 0..<rows {
    for h in 0..<heads {
      let at = (r * heads + h) * d
      let (dO, dGate, dy, o, gate) = (dO + at, dGate + at, dy + at, o + at, gate + at)
      let (dw, w, inverse) = (dw + h * d, w + h * d, rstd[r * heads + h])
      var s = Lanes.zero
      var i = 0
      while i < d {
        let n = min(16, d - i)
        let z = gate.load(i, n)
        let sigmoid = sigmoid16(z)
        let silu = z * sigmoid
        let dy = dy.load(i, n)
        let unit = o.load(i, n) * splat(inverse)
        let w = w.load(i, n)
        let g = dy * w * silu
        s.addProduct(g, unit)
        dw.store(fma(dy * silu, unit, dw.load(i, n)), i, n)
        dGate.store(dy * w * unit * (sigmoid * fma(z, splat(1) - sigmoid, splat(1))), i, n)
        dO.store(g, i, n)
        i += 16
      }
      let mean = laneSum(s) / Float(d)
      i = 0
      while i < d {
        let n = min(16, d - i)
        let unit = o.load(i, n) * splat(inverse)
        dO.store(fma(unit, splat(-mean), dO.load(i, n)) * splat(inverse), i, n)
        i += 16
      }
    }
  }
}
