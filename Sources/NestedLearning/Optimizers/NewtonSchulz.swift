import NestedBase

/// The orthogonal factor of a matrix, nearly: Muon's quintic Newton-Schulz iteration (Keller Jordan 2024; paper.md 2.3),
///
///     X ← X / (‖X‖_F + 1e-7)        5 times: A = X Xᵀ, X ← a X + (b A + c A²) X        a, b, c = 3.4445, -4.7750, 2.0315
///
/// which takes singular values from [0.05, 1] to [0.68, 1.14] instead of to 1, in five steps. In float32, where the
/// original uses bfloat16. A tall matrix is multiplied from the right, which is the same without a transpose.
enum NewtonSchulz {
  static let steps = 5

  static func scratch(rows: Int, columns: Int) -> Int {
    let side = min(rows, columns)
    return rows * columns + 2 * side * side
  }

  /// x [rows, columns] in place; `room` holds `scratch` floats. Zero stays zero.
  static func orthogonalize(_ x: Floats, rows: Int, columns: Int, _ room: Floats, _ bench: Workbench) {
    let (a, b, c): (Float, Float, Float) = (3.4445, -4.7750, 2.0315)
    let count = rows * columns, side = min(rows, columns)
    let wide = rows <= columns
    let gram = room, polynomial = room + side * side
    var (from, to) = (x, room + 2 * side * side)
    let factor = Float(1 / (bench.norm(x, count) + 1e-7))
    for i in 0..<count { x[i] *= factor }
    for _ in 0..<steps {
      bench.multiply(
        gram, from, transA: !wide, from, transB: wide, side, side, wide ? columns : rows)
      polynomial.copy(from: gram, count: side * side)
      bench.multiply(polynomial, gram, gram, side, side, side, alpha: c, beta: b)
      to.copy(from: from, count: count)
      if wide {
        bench.multiply(to, polynomial, from, rows, columns, rows, beta: a)
      } else {
        bench.multiply(to, from, polynomial, rows, columns, columns, beta: a)
      }
      swap(&from, &to)
    }
    // After an odd number of steps the result stands in the scratch.
    if steps % 2 == 1 { x.copy(from: from, count: count) }
  }
}
