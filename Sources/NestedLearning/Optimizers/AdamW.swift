import Glibc
package import NestedBase
package import NestedTensor

/// AdamW (Loshchilov & Hutter 2019) as PyTorch computes it:
///
///     w ← w (1 - η λ)
///     m ← β₁ m + (1 - β₁) g                v ← β₂ v + (1 - β₂) g²
///     w ← w - η / (1 - β₁ᵗ) · m / (√v / √(1 - β₂ᵗ) + ε)
///
/// `adam` is the same: decay is decoupled for every optimizer (SPEC 4), which was all that told the two apart.
package struct AdamW: Optimizer {
  package let beta1: Double
  package let beta2: Double
  package let eps: Double

  package init(beta1: Double, beta2: Double, eps: Double) {
    self.beta1 = beta1
    self.beta2 = beta2
    self.eps = eps
  }

  package var slots: [String] { ["m", "v"] }

  package func update(
    _ w: Floats, _ state: Floats, stride: Int, _ g: Floats, count: Int, step: UpdateStep,
    kernels: KernelSet
  ) {
    let t = Double(step.number)
    kernels.adamW(
      w, state, state + stride, g, count, step.learningRate, beta1, beta2, eps, step.weightDecay,
      1 - pow(beta1, t), 1 - pow(beta2, t), step.gradientScale)
  }
}
