package import NestedBase

/// y = x / norm with norm = √(Σ x² + 1e-6) over each head's d channels (SPEC 0).
package func l2NormForward(
  _ y: Floats,  // [rows, heads d], may be x
  _ norm: Floats,  // [rows, heads]
  _ x: Floats,  // [rows, heads d]
  _ rows: Int, _ heads: Int, _ d: Int
) {
  for u in 0..<rows * heads {
    let x = x + u * d
    let length = (dot(x, x, d) + 1e-6).squareRoot()
    norm[u] = length
    let inverse = splat(1 / length)
    mapLanes(y + u * d, x, d) { $0 * inverse }
  }
}

/// dx = (dy - y ⟨y, dy⟩) / norm, exact with the 1e-6 inside the root.
package func l2NormBackward(
  _ dx: Floats,  // [rows, heads d] =, may be dy
  _ dy: Floats,  // [rows, heads d]
  _ y: Floats,  // [rows, heads d], the forward result
  _ norm: Floats,  // [rows, heads]
  _ rows: Int, _ heads: Int, _ d: Int
) {
  for u in 0..<rows * heads {
    let (dy, y) = (dy + u * d, y + u * d)
    let along = splat(-dot(y, dy, d))
    let inverse = splat(1 / norm[u])
    mapLanes(dx + u * d, dy, y, d) { dy, y in fma(y, along, dy) * inverse }
  }
}
