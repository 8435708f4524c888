import Glibc
package import NestedBase
package import NestedTensor

/// Momentum that remembers preconditioned gradients (paper eqs 46, 47), P the diagonal of Adam and RMSProp:
///
///     v ← β₂ v + (1 - β₂) g²        P = 1 / (√v / √(1 - β₂ᵗ) + ε)        m ← α m - η P g        w ← w + m
///
/// The paper leaves P_i open ("e.g. Hessian information"); the diagonal is what the field does with one pass over
/// memory. The rate stands inside m, as printed, and m has no factor 1 - α: far from a change of direction a step is
/// η / (1 - α) long.
package struct PreconditionedMomentum: Optimizer {
  package let momentum: Double
  package let beta2: Double
  package let eps: Double

  package init(momentum: Double, beta2: Double, eps: Double) {
    self.momentum = momentum
    self.beta2 = beta2
    self.eps = eps
  }

  package var slots: [String] { ["m", "v"] }

  package func update(
    _ w: Floats, _ state: Floats, stride: Int, _ g: Floats, count: Int, step: UpdateStep,
    kernels: KernelSet
  ) {
    kernels.preconditionedMomentum(
      w, state, state + stride, g, count, step.learningRate, momentum, beta2, eps, step.weightDecay,
      1 - pow(beta2, Double(step.number)), step.gradientScale)
  }
}
