package import NestedBase
package import NestedTensor

/// Adagrad (Duchi et al. 2011) as PyTorch computes it, without decay of the rate:
///
///     s ← s + g²        w ← w - η g / (√s + ε)
package struct Adagrad: Optimizer {
  package let eps: Double

  package init(eps: Double) { self.eps = eps }

  package var slots: [String] { ["sum"] }

  package func update(
    _ w: Floats, _ state: Floats, stride: Int, _ g: Floats, count: Int, step: UpdateStep,
    kernels: KernelSet
  ) {
    kernels.adagrad(
      w, state, g, count, step.learningRate, eps, step.weightDecay, step.gradientScale)
  }
}
