internal import NestedBase

/// A weight [inputs, outputs] of a neural memory, input by input, or its gradient.
struct MemoryMatrix {
  let w: Floats
  let inputs: Int, outputs: Int

  /// y = Σ_i x[i] W[i]
  func product(_ y: Floats, _ x: Floats) {
    var c = 0
    while c + 64 <= outputs {
      var (s0, s1, s2, s3) = (Lanes.zero, Lanes.zero, Lanes.zero, Lanes.zero)
      for i in 0..<inputs {
        let (row, factor) = (w + i * outputs + c, splat(x[i]))
        s0.addProduct(factor, row.load16(0))
        s1.addProduct(factor, row.load16(16))
        s2.addProduct(factor, row.load16(32))
        s3.addProduct(factor, row.load16(48))
      }
      y.store16(s0, c)
      y.store16(s1, c + 16)
      y.store16(s2, c + 32)
      y.store16(s3, c + 48)
      c += 64
    }
    while c < outputs {
      let n = min(16, outputs - c)
      var sum = Lanes.zero
      for i in 0..<inputs { sum.addProduct(splat(x[i]), (w + i * outputs).load(c, n)) }
      y.store(sum, c, n)
      c += 16
    }
  }

  /// x[i] = W[i]·y
  func transposedProduct(_ x: Floats, _ y: Floats) {
    for i in 0..<inputs { x[i] = dot(w + i * outputs, y, outputs) }
  }

  /// W[i] += z[i] g
  func addOuter(_ z: Floats, _ g: Floats) {
    for i in 0..<inputs {
      let (row, factor) = (w + i * outputs, splat(z[i]))
      mapLanes(row, g, row, outputs) { fma(factor, $0, $1) }
    }
  }

  /// W[i] += z[i] g + x[i] y
  func addOuter(_ z: Floats, _ g: Floats, _ x: Floats, _ y: Floats) {
    for i in 0..<inputs {
      let (row, zi, xi) = (w + i * outputs, splat(z[i]), splat(x[i]))
      var c = 0
      while c < outputs {
        let n = min(16, outputs - c)
        row.store(fma(zi, g.load(c, n), fma(xi, y.load(c, n), row.load(c, n))), c, n)
        c += 16
      }
    }
  }
}

extension NeuralMemorySpec {
  /// The memory's weights at `state`, the one that reads the input first: W, or W2 and W1.
  func first(_ state: Floats) -> MemoryMatrix {
    MemoryMatrix(w: state, inputs: d, outputs: hidden == 0 ? d : hidden)
  }
  func second(_ state: Floats) -> MemoryMatrix {
    MemoryMatrix(w: state + d * hidden, inputs: hidden, outputs: d)
  }
}

/// LN in place without weights; what every element was divided by, as a factor.
func layerNorm(_ y: Floats, _ n: Int) -> Float {
  let mean = sum(y, n) / Float(n)
  mapLanes(y, y, n) { $0 - splat(mean) }
  let rstd = 1 / (dot(y, y, n) / Float(n) + NeuralMemorySpec.normEps).squareRoot()
  mapLanes(y, y, n) { $0 * splat(rstd) }
  return rstd
}

/// dx = (dy - mean dy - ŷ mean(dy ŷ)) rstd, which may stand in dy's place: LN's Jacobian, its own transpose.
func layerNormBackward(_ dx: Floats, _ dy: Floats, _ y: Floats, _ rstd: Float, _ n: Int) {
  let mean = splat(sum(dy, n) / Float(n)), along = splat(dot(dy, y, n) / Float(n)), rstd = splat(rstd)
  mapLanes(dx, dy, y, n) { ($0 - mean - $1 * along) * rstd }
}

/// Σ x[i]
func sum(_ x: Floats, _ n: Int) -> Float {
  var total = Lanes.zero
  var c = 0
  while c < n {
    total += x.load(c, min(16, n - c))
    c += 16
  }
  return laneSum(total)
}
