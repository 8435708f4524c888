import NestedTensor

// Plain operations: arithmetic and matrix products. Their pullbacks are plain operations, hence `twice`.

extension OpRow {
  static let all: [OpRow] = arithmetic + products + layout + fused + tokenRows + sequences + scans

  /// An operation on the elements of one vector of n.
  private static func unary(
    _ name: String, values: Values = .real, _ oracle: @escaping @Sendable (Double) -> Double,
    _ apply: @escaping @Sendable (Engine, Tensor) throws -> Tensor
  ) -> OpRow {
    OpRow(
      name: name, shapes: { [[$0]] }, apply: { engine, x, _ in try apply(engine, x[0]) },
      oracle: { x, _ in x[0].map(oracle) }, values: values, twice: true)
  }

  /// An operation on the elements of two arrays [n, 3].
  private static func binary(
    _ name: String, _ oracle: @escaping @Sendable (Double, Double) -> Double,
    _ apply: @escaping @Sendable (Engine, Tensor, Tensor) throws -> Tensor
  ) -> OpRow {
    OpRow(
      name: name, shapes: { [[$0, 3], [$0, 3]] },
      apply: { engine, x, _ in try apply(engine, x[0], x[1]) },
      oracle: { x, _ in zip(x[0], x[1]).map(oracle) }, twice: true)
  }

  static let arithmetic: [OpRow] = [
    binary("add", +) { try $0.add($1, $2) },
    binary("subtract", -) { try $0.subtract($1, $2) },
    binary("multiply", *) { try $0.multiply($1, $2) },
    unary("scale", { -1.75 * $0 }) { try $0.scale($1, -1.75) },
    unary("offset", { $0 + 0.625 }) { try $0.offset($1, 0.625) },
    unary("power 3", values: .positive, { powerOf($0, 3) }) { try $0.power($1, 3) },
    unary("power 1/2", values: .positive, { powerOf($0, 0.5) }) { try $0.power($1, 0.5) },
    unary("power -1", values: .positive, { 1 / $0 }) { try $0.power($1, -1) },
    unary("power -1/2", values: .positive, { powerOf($0, -0.5) }) { try $0.power($1, -0.5) },
    unary("exp", expOf) { try $0.exp($1) },
    unary("log", values: .positive, logOf) { try $0.log($1) },
    unary("sigmoid", sigmoidOf) { try $0.sigmoid($1) },
    unary("silu", siluOf) { try $0.silu($1) },
    unary("gelu", geluOf) { try $0.gelu($1) },
    // One tensor twice: both parts of its gradient count.
    unary("x · x", { $0 * $0 }) { try $0.multiply($1, $1) },
  ]

  /// y[N, m, k'] = op(a) op(b) by definition.
  static func matmulInDouble(
    _ a: [Double], _ b: [Double], _ batch: Int, _ m: Int, _ k: Int, _ n: Int, transA: Bool,
    transB: Bool
  ) -> [Double] {
    var y = [Double](repeating: 0, count: batch * m * n)
    for c in 0..<batch {
      for i in 0..<m {
        for j in 0..<n {
          for l in 0..<k {
            let left = a[c * m * k + (transA ? l * m + i : i * k + l)]
            let right = b[c * k * n + (transB ? j * k + l : l * n + j)]
            y[(c * m + i) * n + j] += left * right
          }
        }
      }
    }
    return y
  }

  static let products: [OpRow] = [(false, false), (false, true), (true, false), (true, true)].map {
    transA, transB in
    let k: @Sendable (Int) -> Int = { $0 * 3 % 19 + 1 }
    return OpRow(
      name: "matmul a\(transA ? "ᵀ" : "") b\(transB ? "ᵀ" : "")",
      shapes: { n in
        [transA ? [2, k(n), n] : [2, n, k(n)], transB ? [2, 5, k(n)] : [2, k(n), 5]]
      },
      apply: { engine, x, _ in try engine.matmul(x[0], x[1], transA: transA, transB: transB) },
      oracle: { x, n in matmulInDouble(x[0], x[1], 2, n, k(n), 5, transA: transA, transB: transB) },
      twice: true)
  }
}
