package import NestedBase
package import NestedTensor

/// PyTorch's SGD with momentum, dampening 0, and with Nesterov's step on request:
///
///     S_1 = g_1        S_t = μ S_{t-1} + g_t        w ← w - η S_t        nesterov: w ← w - η (g_t + μ S_t)
///
/// The first buffer is the gradient itself, which is what μ · 0 + g would be as well. The paper's form (eq 33) has η
/// inside, m = -η S: the same weights as long as η does not change.
package struct Momentum: Optimizer {
  package let momentum: Double
  package let nesterov: Bool

  package init(momentum: Double, nesterov: Bool = false) {
    self.momentum = momentum
    self.nesterov = nesterov
  }

  package var slots: [String] { ["momentum"] }

  package func update(
    _ w: Floats, _ state: Floats, stride: Int, _ g: Floats, count: Int, step: UpdateStep,
    kernels: KernelSet
  ) {
    kernels.sgdMomentum(
      w, state, g, count, step.learningRate, momentum, step.weightDecay, step.gradientScale,
      step.number == 1, nesterov)
  }
}
