package import NestedBase
package import NestedTensor

/// Muon (Keller Jordan 2024; paper.md 2.3) for the matrices between hidden layers, one head at a time:
///
///     m ← μ m + (1 - μ) g        u = (1 - μ) g + μ m        w ← w (1 - η λ) - η √max(1, rows / columns) NS(u)
///
/// AdamW for embed, head, convolutions and vectors. Both read one learning rate; the update of a matrix has singular
/// values near 1, so it wants a larger one (0.02 in the original), which `groups` can give.
package struct Muon: Optimizer {
  package let momentum: Double
  package let others: AdamW

  package init(momentum: Double, others: AdamW) {
    self.momentum = momentum
    self.others = others
  }

  /// A matrix uses the first slot only.
  package var slots: [String] { others.slots }

  package func update(
    _ w: Floats, _ state: Floats, stride: Int, _ g: Floats, count: Int, step: UpdateStep,
    kernels: KernelSet
  ) {
    others.update(w, state, stride: stride, g, count: count, step: step, kernels: kernels)
  }

  package func takesMatrices(_ form: ParameterForm) -> Bool { form.isHidden }

  package func matrixScratch(rows: Int, columns: Int) -> Int {
    rows * columns + NewtonSchulz.scratch(rows: rows, columns: columns)
  }

  package func updateMatrix(
    _ w: Floats, _ state: Floats, stride: Int, _ g: Floats, rows: Int, columns: Int,
    step: UpdateStep, bench: Workbench
  ) {
    let count = rows * columns
    let u = bench.scratch
    let scale = Float(step.gradientScale), inertia = Float(momentum), mix = Float(1 - momentum)
    for i in 0..<count {
      let gradient = scale * g[i]
      let m = state[i] + mix * (gradient - state[i])
      state[i] = m
      u[i] = gradient + inertia * (m - gradient)
    }
    NewtonSchulz.orthogonalize(u, rows: rows, columns: columns, u + count, bench)
    let length = -step.learningRate * Muon.scale(rows: rows, columns: columns)
    let keep = step.keep, rate = Float(length)
    for i in 0..<count { w[i] = keep * w[i] + rate * u[i] }
  }

  /// √max(1, rows / columns): the same size of change at the output of a layer that widens.
  static func scale(rows: Int, columns: Int) -> Double {
    max(1, Double(rows) / Double(columns)).squareRoot()
  }
}
