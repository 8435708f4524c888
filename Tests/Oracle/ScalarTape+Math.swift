import Glibc

/// A matrix of tape numbers, row-major.
package struct Matrix: Sendable {
  package var rows: Int
  package var cols: Int
  package var data: [Num]  // [rows, cols]

  package init(_ rows: Int, _ cols: Int, _ data: [Num]) {
    precondition(data.count == rows * cols)
    self.rows = rows
    self.cols = cols
    self.data = data
  }
  package static func zero(_ rows: Int, _ cols: Int) -> Matrix {
    Matrix(rows, cols, [Num](repeating: Num(0), count: rows * cols))
  }
  package var constant: Matrix { Matrix(rows, cols, data.map(\.constant)) }
  package var values: [Double] { data.map(\.value) }
}

/// The functions of SPEC 0 and the few that sections 2 and 3 need.
extension ScalarTape {
  // Scalars.
  package func add(_ a: Num, _ b: Num) -> Num {
    edge(a, 1)
    edge(b, 1)
    return close(a.value + b.value)
  }
  package func subtract(_ a: Num, _ b: Num) -> Num {
    edge(a, 1)
    edge(b, -1)
    return close(a.value - b.value)
  }
  package func multiply(_ a: Num, _ b: Num) -> Num {
    edge(a, b.value)
    edge(b, a.value)
    return close(a.value * b.value)
  }
  package func scale(_ a: Num, _ s: Double) -> Num {
    edge(a, s)
    return close(a.value * s)
  }
  private func unary(_ a: Num, _ value: Double, _ slope: Double) -> Num {
    edge(a, slope)
    return close(value)
  }
  package func sigmoid(_ a: Num) -> Num {
    let s = logistic(a.value)
    return unary(a, s, s * (1 - s))
  }
  package func silu(_ a: Num) -> Num {
    let s = logistic(a.value)
    return unary(a, a.value * s, s * (1 + a.value * (1 - s)))
  }
  /// silu'(x), as a function on the tape: the inner gradient of an mlp memory contains it.
  package func siluSlope(_ a: Num) -> Num {
    let x = a.value
    let s = logistic(x)
    return unary(a, s * (1 + x * (1 - s)), s * (1 - s) * (2 + x * (1 - 2 * s)))
  }
  package func gelu(_ a: Num) -> Num {
    let x = a.value
    let c = (2 / Double.pi).squareRoot()
    let t = tanh(c * (x + 0.044715 * x * x * x))
    let slope = 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * c * (1 + 3 * 0.044715 * x * x)
    return unary(a, 0.5 * x * (1 + t), slope)
  }

  // Vectors.
  package func add(_ a: [Num], _ b: [Num]) -> [Num] {
    precondition(a.count == b.count)
    return a.indices.map { add(a[$0], b[$0]) }
  }
  package func subtract(_ a: [Num], _ b: [Num]) -> [Num] {
    precondition(a.count == b.count)
    return a.indices.map { subtract(a[$0], b[$0]) }
  }
  package func multiply(_ a: [Num], _ b: [Num]) -> [Num] {
    precondition(a.count == b.count)
    return a.indices.map { multiply(a[$0], b[$0]) }
  }
  package func negate(_ a: [Num]) -> [Num] { a.map { scale($0, -1) } }
  package func silu(_ a: [Num]) -> [Num] { a.map(silu) }
  package func gelu(_ a: [Num]) -> [Num] { a.map(gelu) }

  /// h + Σ_l w_l part_l, w = softmax(mix)
  package func mixture(_ h: [Num], _ parts: [[Num]], _ mix: [Num]) -> [Num] {
    let top = mix.map(\.value).max()!
    let sum = mix.reduce(0) { $0 + exp($1.value - top) }
    let w = mix.map { exp($0.value - top) / sum }
    return h.indices.map { i in
      let mean = parts.indices.reduce(0) { $0 + w[$1] * parts[$1][i].value }
      edge(h[i], 1)
      for l in parts.indices {
        edge(parts[l][i], w[l])
        edge(mix[l], w[l] * (parts[l][i].value - mean))
      }
      return close(h[i].value + mean)
    }
  }

  package func dot(_ a: [Num], _ b: [Num]) -> Num {
    precondition(a.count == b.count)
    var sum = 0.0
    for i in a.indices {
      sum += a[i].value * b[i].value
      edge(a[i], b[i].value)
      edge(b[i], a[i].value)
    }
    return close(sum)
  }

  /// x / sqrt(Σ x² + 1e-6)
  package func l2(_ x: [Num]) -> [Num] {
    let n = (x.reduce(0) { $0 + $1.value * $1.value } + 1e-6).squareRoot()
    return x.indices.map { i in
      for j in x.indices {
        edge(x[j], (i == j ? 1 / n : 0) - x[i].value * x[j].value / (n * n * n))
      }
      return close(x[i].value / n)
    }
  }

  /// x / sqrt(mean x² + eps) · weight
  package func rmsNorm(_ x: [Num], _ weight: [Num], _ eps: Double) -> [Num] {
    let count = Double(x.count)
    let r = (x.reduce(0) { $0 + $1.value * $1.value } / count + eps).squareRoot()
    return x.indices.map { i in
      let w = weight[i].value
      for j in x.indices {
        edge(x[j], w * ((i == j ? 1 / r : 0) - x[i].value * x[j].value / (count * r * r * r)))
      }
      edge(weight[i], x[i].value / r)
      return close(w * x[i].value / r)
    }
  }

  // Matrices.
  /// W x
  package func apply(_ w: Matrix, _ x: [Num]) -> [Num] {
    precondition(w.cols == x.count)
    return (0..<w.rows).map { i in
      var sum = 0.0
      for j in 0..<w.cols {
        let a = w.data[i * w.cols + j]
        sum += a.value * x[j].value
        edge(a, x[j].value)
        edge(x[j], a.value)
      }
      return close(sum)
    }
  }
  /// Wᵀ x
  package func applyTransposed(_ w: Matrix, _ x: [Num]) -> [Num] {
    precondition(w.rows == x.count)
    return (0..<w.cols).map { j in
      var sum = 0.0
      for i in 0..<w.rows {
        let a = w.data[i * w.cols + j]
        sum += a.value * x[i].value
        edge(a, x[i].value)
        edge(x[i], a.value)
      }
      return close(sum)
    }
  }
  /// s A + r zᵀ
  package func scaleAddOuter(_ s: Num, _ a: Matrix, _ r: [Num], _ z: [Num]) -> Matrix {
    precondition(a.rows == r.count && a.cols == z.count)
    var out = a
    for i in 0..<a.rows {
      for j in 0..<a.cols {
        let x = a.data[i * a.cols + j]
        edge(s, x.value)
        edge(x, s.value)
        edge(r[i], z[j].value)
        edge(z[j], r[i].value)
        out.data[i * a.cols + j] = close(s.value * x.value + r[i].value * z[j].value)
      }
    }
    return out
  }
  /// A - s B
  package func subtractScaled(_ a: Matrix, _ s: Num, _ b: Matrix) -> Matrix {
    var out = a
    for i in a.data.indices {
      edge(a.data[i], 1)
      edge(s, -b.data[i].value)
      edge(b.data[i], -s.value)
      out.data[i] = close(a.data[i].value - s.value * b.data[i].value)
    }
    return out
  }

  /// -log softmax(logits)[target]
  package func negativeLogLikelihood(_ logits: [Num], _ target: Int) -> Num {
    let top = logits.reduce(-Double.infinity) { max($0, $1.value) }
    let sum = logits.reduce(0) { $0 + exp($1.value - top) }
    for (i, x) in logits.enumerated() {
      edge(x, exp(x.value - top) / sum - (i == target ? 1 : 0))
    }
    return close(top + log(sum) - logits[target].value)
  }
}

func logistic(_ x: Double) -> Double { x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x)) }
