import NestedTensor

// Plain operations that move or add up elements.

extension OpRow {
  private static func one(
    _ name: String, _ shape: @escaping @Sendable (Int) -> [Int],
    oracle: @escaping @Sendable ([Double], Int) -> [Double],
    _ apply: @escaping @Sendable (Engine, Tensor, Int) throws -> Tensor
  ) -> OpRow {
    OpRow(
      name: name, shapes: { [shape($0)] }, apply: { engine, x, n in try apply(engine, x[0], n) },
      oracle: { x, n in oracle(x[0], n) }, twice: true)
  }

  /// An array [A, B, C], element by element.
  private static func array(
    _ a: Int, _ b: Int, _ c: Int, _ element: (Int, Int, Int) -> Double
  ) -> [Double] {
    var list: [Double] = []
    for i in 0..<a {
      for j in 0..<b {
        for k in 0..<c { list.append(element(i, j, k)) }
      }
    }
    return list
  }

  private static let ids: @Sendable (Int) -> [Int32] = { n in
    (0..<n + 2).map { Int32(($0 * 5 + 3) % n) }  // some rows twice, and with n > 7 some not at all
  }

  static let layout: [OpRow] = [
    one("reshape", { [$0, 6] }, oracle: { x, _ in x }) { try $0.reshape($1, Shape(3, $2, 2)) },
    one(
      "permute 2 0 1", { [2, $0, 3] },
      oracle: { x, n in array(3, 2, n) { c, a, b in x[(a * n + b) * 3 + c] } }
    ) { engine, x, _ in try engine.permute(x, [2, 0, 1]) },
    one(
      "permute 0 2 1 3", { [2, $0, 3, 2] },
      oracle: { x, n in
        array(6, n, 2) { ac, b, d in
          let (a, c) = (ac / 3, ac % 3)
          return x[((a * n + b) * 3 + c) * 2 + d]
        }
      }
    ) { engine, x, _ in try engine.permute(x, [0, 2, 1, 3]) },
    one(
      "slice", { [2, $0 + 2, 3] },
      oracle: { x, n in array(2, n, 3) { a, b, c in x[(a * (n + 2) + b + 1) * 3 + c] } }
    ) { try $0.slice($1, axis: 1, start: 1, count: $2) },
    one(
      "pad", { [2, $0, 3] },
      oracle: { x, n in
        array(2, n + 3, 3) { a, b, c in b < 2 || b >= n + 2 ? 0 : x[(a * n + b - 2) * 3 + c] }
      }
    ) { try $0.pad($1, axis: 1, before: 2, size: $2 + 3) },
    OpRow(
      name: "concatenate", shapes: { [[2, $0], [2, 3], [2, $0 + 1]] },
      apply: { engine, x, _ in try engine.concatenate(x, axis: 1) },
      oracle: { x, n in
        var rows: [Double] = []
        for a in 0..<2 {
          rows += x[0][a * n..<(a + 1) * n]
          rows += x[1][a * 3..<(a + 1) * 3]
          rows += x[2][a * (n + 1)..<(a + 1) * (n + 1)]
        }
        return rows
      }, twice: true),
    one(
      "broadcast", { [$0, 1, 2] }, oracle: { x, n in array(n, 5, 2) { a, _, c in x[a * 2 + c] } }
    ) { try $0.broadcast($1, Shape($2, 5, 2)) },
    one(
      "broadcast of two axes", { [1, $0, 1] },
      oracle: { x, n in array(3, n, 2) { _, b, _ in x[b] } }
    ) { try $0.broadcast($1, Shape(3, $2, 2)) },
    one(
      "sum of the middle axis", { [2, $0, 3] },
      oracle: { x, n in
        array(2, 1, 3) { a, _, c in (0..<n).reduce(0) { $0 + x[(a * n + $1) * 3 + c] } }
      }
    ) { engine, x, _ in try engine.sum(x, axis: 1) },
    one(
      "sum of the last axis", { [3, $0] },
      oracle: { x, n in array(3, 1, 1) { a, _, _ in x[a * n..<(a + 1) * n].reduce(0, +) } }
    ) { engine, x, _ in try engine.sum(x, axis: 1) },
    one(
      "gather", { [$0, 3] },
      oracle: { x, n in array(n + 2, 1, 3) { i, _, c in x[Int(ids(n)[i]) * 3 + c] } }
    ) { try $0.gather($1, ids($2)) },
    one(
      "scatter", { [$0 + 2, 3] },
      oracle: { x, n in
        var y = [Double](repeating: 0, count: n * 3)
        for (i, id) in ids(n).enumerated() {
          for j in 0..<3 { y[Int(id) * 3 + j] += x[i * 3 + j] }
        }
        return y
      }
    ) { try $0.scatter($1, ids($2), rows: $2) },
  ]
}
