import Glibc

/// A small dense matrix and what the optimizers do with it, by the definition.
package struct OracleMatrix: Sendable {
  package var rows: Int, columns: Int
  package var values: [Double]

  package init(_ rows: Int, _ columns: Int, _ values: [Double]) {
    precondition(values.count == rows * columns)
    (self.rows, self.columns, self.values) = (rows, columns, values)
  }
  package static func zeros(_ rows: Int, _ columns: Int) -> OracleMatrix {
    OracleMatrix(rows, columns, [Double](repeating: 0, count: rows * columns))
  }

  package subscript(i: Int, j: Int) -> Double {
    get { values[i * columns + j] }
    set { values[i * columns + j] = newValue }
  }

  package var transposed: OracleMatrix {
    var out = OracleMatrix.zeros(columns, rows)
    for i in 0..<rows { for j in 0..<columns { out[j, i] = self[i, j] } }
    return out
  }
  package var norm: Double { values.reduce(0) { $0 + $1 * $1 }.squareRoot() }
  package func map(_ f: (Double) -> Double) -> OracleMatrix { OracleMatrix(rows, columns, values.map(f)) }
  package func with(_ b: OracleMatrix, _ f: (Double, Double) -> Double) -> OracleMatrix {
    OracleMatrix(rows, columns, zip(values, b.values).map(f))
  }

  package static func * (a: OracleMatrix, b: OracleMatrix) -> OracleMatrix {
    precondition(a.columns == b.rows)
    var out = zeros(a.rows, b.columns)
    for i in 0..<a.rows {
      for j in 0..<b.columns {
        for k in 0..<a.columns { out[i, j] += a[i, k] * b[k, j] }
      }
    }
    return out
  }
  package static func * (a: Double, b: OracleMatrix) -> OracleMatrix { b.map { a * $0 } }
  package static func + (a: OracleMatrix, b: OracleMatrix) -> OracleMatrix { a.with(b, +) }
  package static func - (a: OracleMatrix, b: OracleMatrix) -> OracleMatrix { a.with(b, -) }

  /// Muon's reference: quintic, five steps, wide side up.
  package var newtonSchulz: OracleMatrix {
    let tall = rows > columns
    var x = tall ? transposed : self
    x = (1 / (x.norm + 1e-7)) * x
    for _ in 0..<5 {
      let a = x * x.transposed
      x = 3.4445 * x + (-4.7750 * a + 2.0315 * (a * a)) * x
    }
    return tall ? x.transposed : x
  }

  /// √max(1, rows / columns)
  package var muonScale: Double { max(1, Double(rows) / Double(columns)).squareRoot() }
}

/// One matrix under an optimizer that takes it as a whole.
package struct OracleMatrixState: Sendable {
  private var a: OracleMatrix
  private var b: OracleMatrix
  private var slow: OracleMatrix
  private var slowDirection: OracleMatrix

  package init(_ rows: Int, _ columns: Int) {
    a = .zeros(rows, columns)
    b = a
    slow = a
    slowDirection = a
  }

  package mutating func muon(_ w: inout OracleMatrix, _ g: OracleMatrix, momentum: Double, lr: Double) {
    a = momentum * a + (1 - momentum) * g
    let u = ((1 - momentum) * g + momentum * a).newtonSchulz
    w = w - (lr * w.muonScale) * u
  }

  /// Algorithm 1 of the paper, line by line; indices of the slow sum do not overlap.
  package mutating func m3Literal(
    _ w: inout OracleMatrix, _ g: OracleMatrix, _ n: OracleOptimizer.M3Numbers, step t: Int, lr: Double
  ) {
    if t > 1, (t - 1) % n.period == 0 { slowDirection = slow.newtonSchulz }
    a = a + n.beta1 * g
    b = b + n.beta2 * g.map { $0 * $0 }
    slow = slow + n.beta3 * g
    let o = a.newtonSchulz + n.alpha * slowDirection
    w = w - lr * o.with(b) { $0 / ($1.squareRoot() + n.eps) }
  }

  package mutating func m3(
    _ w: inout OracleMatrix, _ g: OracleMatrix, _ n: OracleOptimizer.M3Numbers, step t: Int, lr: Double
  ) {
    if t > 1, (t - 1) % n.period == 0 { slowDirection = slow.newtonSchulz }
    if (t - 1) % n.period == 0 { slow = n.beta3 * slow }
    a = n.beta1 * a + (1 - n.beta1) * g
    b = n.beta2 * b + (1 - n.beta2) * g.map { $0 * $0 }
    slow = slow + ((1 - n.beta3) / Double(n.period)) * g
    let bias = 1 - pow(n.beta2, Double(t))
    let o = a.newtonSchulz + n.alpha * slowDirection
    let u = o.with(b) { $0 / (($1 / bias).squareRoot() + n.eps) }
    let size = Double(min(w.rows, w.columns)).squareRoot() * w.muonScale
    if u.norm > 0 { w = w - (lr * size / u.norm) * u }
  }

  package mutating func deltaMomentum(
    _ w: inout OracleMatrix, _ g: OracleMatrix, alpha: Double, lr: Double
  ) {
    let key = (1 / max(1, g.norm)) * g
    a = alpha * a - a * (key.transposed * key) - lr * g
    w = w + a
  }

  /// `a` is W1, `b` is W2, both [n, n].
  package mutating func deepMomentum(
    _ w: inout OracleMatrix, _ g: OracleMatrix, alpha: Double, lr: Double
  ) {
    let n = min(g.rows, g.columns), count = Double(g.rows * g.columns)
    if a.rows != n || a.columns != n { (a, b) = (.zeros(n, n), .zeros(n, n)) }
    let tall = g.columns <= g.rows
    let rows = tall ? g : g.transposed
    guard g.norm > 0 else { return }
    let u = (count.squareRoot() / g.norm) * rows
    func hidden(_ w2: OracleMatrix) -> OracleMatrix { (u + u * w2.transposed).map { tanh($0) } }
    let h = hidden(b)
    let dz = (u * a).with(h) { $0 * (1 - $1 * $1) }
    let mix = (1 - alpha) / count
    (a, b) = (alpha * a - mix * (u.transposed * h), alpha * b - mix * (dz.transposed * u))
    let answer = hidden(b) * a.transposed
    let update = (lr * g.norm / answer.norm) * answer
    w = w + (tall ? update : update.transposed)
  }
}
