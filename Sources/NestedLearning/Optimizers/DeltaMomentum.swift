package import NestedBase
package import NestedTensor

/// Delta momentum (paper eqs 48, 49 with P = 1): before it writes, the momentum erases what it holds in the direction of
/// the gradient,
///
///     ĝ = g / max(1, ‖g‖)        m ← m (α - ĝᵀ ĝ) - η g        w ← w + m
///
/// for every parameter, a matrix [rows, columns] at a time; a vector is one row, as in the paper. Printed without the
/// max: the term carries no rate, so the printed one diverges once ‖g‖ > √(1 + α); up to 1 it is the same. The rate stands
/// inside m, as printed.
package struct DeltaMomentum: Optimizer {
  package let momentum: Double

  package init(momentum: Double) { self.momentum = momentum }

  package var slots: [String] { ["momentum"] }

  package func takesMatrices(_ form: ParameterForm) -> Bool { true }

  /// A range of a vector, as one row.
  package func update(
    _ w: Floats, _ state: Floats, stride: Int, _ g: Floats, count: Int, step: UpdateStep,
    kernels: KernelSet
  ) {
    precondition(count == 0, "[delta-momentum] takes whole matrices only")
  }

  package func matrixScratch(rows: Int, columns: Int) -> Int {
    let side = min(rows, columns)
    return rows * columns + side * side
  }

  package func updateMatrix(
    _ w: Floats, _ m: Floats, stride: Int, _ g: Floats, rows: Int, columns: Int,
    step: UpdateStep, bench: Workbench
  ) {
    let count = rows * columns
    let erased = bench.scratch, gram = bench.scratch + count
    // m gᵀ g, in the cheaper order
    if columns <= rows {
      bench.multiply(gram, g, transA: true, g, columns, columns, rows)
      bench.multiply(erased, m, gram, rows, columns, columns)
    } else {
      bench.multiply(gram, m, g, transB: true, rows, rows, columns)
      bench.multiply(erased, gram, g, rows, columns, rows)
    }
    let scale = step.gradientScale
    let bound = scale / max(1, scale * bench.norm(g, count))
    let erase = Float(bound * bound), inertia = Float(momentum)
    let keep = step.keep, rate = Float(step.learningRate * scale)
    for i in 0..<count {
      m[i] = inertia * m[i] - erase * erased[i] - rate * g[i]
      w[i] = keep * w[i] + m[i]
    }
  }
}
