package import NestedBase
package import NestedTensor

/// Deep Momentum Gradient Descent (paper eq 50): the momentum of a matrix is an MLP that the gradients are written into,
/// and the update is what it answers to the present one.
///
///     u_i = the rows of g, scaled to mean square 1 (of gᵀ where that has the shorter rows)        [K, n], n ≤ K
///     m(u) = W1 tanh((1 + W2) u)        m ← α m - (1 - α) / (K n) ∇_m Σ_i ⟨m(u_i), u_i⟩        w ← w + η ‖g‖ m(u) / ‖m(u)‖
///
/// What the paper leaves open or prints in a way that does not descend: its target "1" would make the update blind to the
/// gradient's sign, so the target is the gradient (the dot-product objective of eqs 15 and 34); W2 is the difference from
/// the identity, so that forgetting, m ← α m, does not put the hidden layer out; and the update has the gradient's length,
/// because that of the memory's answer depends on how much alike the rows are. Parameters other than the matrices between
/// hidden layers: m ← α m + (1 - α) g, w ← w - η m.
package struct DeepMomentum: Optimizer {
  package let momentum: Double

  package init(momentum: Double) { self.momentum = momentum }

  /// W1 and W2 [n, n] are the first n² of a matrix's floats in their slot; n² ≤ rows · columns. The rest stays 0.
  package var slots: [String] { ["memory.out", "memory.in"] }

  package func takesMatrices(_ form: ParameterForm) -> Bool { form.isHidden }

  package func update(
    _ w: Floats, _ state: Floats, stride: Int, _ g: Floats, count: Int, step: UpdateStep,
    kernels: KernelSet
  ) {
    // The same as a scaled gradient with the plain sum.
    kernels.sgdMomentum(
      w, state, g, count, step.learningRate, momentum, step.weightDecay,
      step.gradientScale * (1 - momentum), step.number == 1, false)
  }

  package func matrixScratch(rows: Int, columns: Int) -> Int { 3 * rows * columns }

  package func updateMatrix(
    _ w: Floats, _ state: Floats, stride: Int, _ g: Floats, rows: Int, columns: Int,
    step: UpdateStep, bench: Workbench
  ) {
    let (w1, w2) = (state, state + stride)
    let count = rows * columns, n = min(rows, columns), keys = max(rows, columns)
    let u = bench.scratch, hidden = u + count, slope = hidden + count
    let size = bench.norm(g, count)
    let unit = Float(size > 0 ? Double(count).squareRoot() / size : 0)
    let tall = columns <= rows
    for i in 0..<keys {
      for j in 0..<n { u[i * n + j] = unit * g[tall ? i * n + j : j * keys + i] }
    }
    let mix = Float((momentum - 1) / Double(count)), inertia = Float(momentum)

    activate(u, w2, hidden, keys, n, bench)
    bench.multiply(slope, u, w1, keys, n, n)  // d⟨m(u), u⟩ / d tanh
    for i in 0..<count { slope[i] *= 1 - hidden[i] * hidden[i] }
    bench.multiply(w1, u, transA: true, hidden, n, n, keys, alpha: mix, beta: inertia)
    bench.multiply(w2, slope, transA: true, u, n, n, keys, alpha: mix, beta: inertia)

    activate(u, w2, hidden, keys, n, bench)
    let answer = slope
    bench.multiply(answer, hidden, w1, transB: true, keys, n, n)
    let length = bench.norm(answer, count)
    let rate = Float(
      length > 0 ? step.learningRate * step.gradientScale * size / length : 0)
    let keep = step.keep
    for i in 0..<keys {
      for j in 0..<n {
        let at = tall ? i * n + j : j * keys + i
        w[at] = keep * w[at] + rate * answer[i * n + j]
      }
    }
  }

  /// hidden [keys, n] = tanh(u + u W2ᵀ)
  private func activate(
    _ u: Floats, _ w2: Floats, _ hidden: Floats, _ keys: Int, _ n: Int, _ bench: Workbench
  ) {
    hidden.copy(from: u, count: keys * n)
    bench.multiply(hidden, u, w2, transB: true, keys, n, n, beta: 1)
    bench.kernels.tanh(hidden, keys * n)
  }
}
