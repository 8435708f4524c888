package import NestedBase

extension Engine {
  /// y[n] = op(a[n]) op(b[n]) for a batch of matrices: a [N, m, k] (or [N, k, m] transposed), b [N, k, n].
  package func matmul(
    _ a: Tensor, _ b: Tensor, transA: Bool = false, transB: Bool = false
  ) throws(NestedError) -> Tensor {
    precondition(
      a.shape.rank == 3 && b.shape.rank == 3 && a.shape[0] == b.shape[0],
      "[matmul] expected two batches of matrices, got \(a.shape) · \(b.shape)")
    let m = a.shape[transA ? 2 : 1], k = a.shape[transA ? 1 : 2], n = b.shape[transB ? 1 : 2]
    precondition(
      k == b.shape[transB ? 2 : 1],
      "[matmul] expected inner sizes to match, got \(a.shape) · \(b.shape)")
    let y = try empty(Shape(a.shape[0], m, n))
    multiplyAdds += Double(y.count * k)
    for i in 0..<a.shape[0] {
      kernels.gemm(
        transA, transB, m, n, k, 1, a.floats + i * m * k, transA ? m : k, b.floats + i * k * n,
        transB ? k : n, 0, y.floats + i * m * n, n)
    }
    guard records(a, b) else { return y }
    return record([a, b], y) { (engine, dy) throws(NestedError) in
      // y = op(a) op(b): d op(a) = dy op(b)ᵀ, d op(b) = op(a)ᵀ dy
      let da =
        a.slot < 0
        ? nil
        : transA
          ? try engine.matmul(b, dy, transA: transB, transB: true)
          : try engine.matmul(dy, b, transB: !transB)
      let db =
        b.slot < 0
        ? nil
        : transB
          ? try engine.matmul(dy, a, transA: true, transB: transA)
          : try engine.matmul(a, dy, transA: !transA)
      return [da, db]
    }
  }

  /// Rows of `table` [V, D] by token id; y [N, D]. Differentiable in the table.
  package func gather(_ table: Tensor, _ ids: [Int32]) throws(NestedError) -> Tensor {
    let d = table.shape[1]
    let y = try empty(Shape(ids.count, d))
    for (i, id) in ids.enumerated() {
      (y.floats + i * d).copy(from: table.floats + Int(id) * d, count: d)
    }
    guard records(table) else { return y }
    let rows = table.shape[0]
    return record([table], y) { (engine, dy) throws(NestedError) in
      [try engine.scatter(dy, ids, rows: rows)]
    }
  }

  /// y[ids[i]] += x[i], y [rows, D].
  package func scatter(_ x: Tensor, _ ids: [Int32], rows: Int) throws(NestedError) -> Tensor {
    let d = x.shape[1]
    let y = try full(Shape(rows, d), 0)
    for (i, id) in ids.enumerated() {
      for j in 0..<d { y.floats[Int(id) * d + j] += x.floats[i * d + j] }
    }
    guard records(x) else { return y }
    return record([x], y) { (engine, dy) throws(NestedError) in [try engine.gather(dy, ids)] }
  }
}
