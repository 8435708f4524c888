package import NestedBase
package import NestedTensor

/// PyTorch's SGD with momentum, dampening 0:
///
///     S_1 = g_1        S_t = μ S_{t-1} + g_t        w ← w - η S_t
///
/// The first buffer is the gradient itself, which is what μ · 0 + g would be as well.
package struct Momentum: Optimizer {
  package let momentum: Double

  package init(momentum: Double) { self.momentum = momentum }

  package var slots: [String] { ["momentum"] }

  package func update(
    _ w: Floats, _ state: Floats, stride: Int, _ g: Floats, count: Int, step: UpdateStep,
    kernels: KernelSet
  ) {
    kernels.sgdMomentum(
      w, state, g, count, step.learningRate, momentum, step.weightDecay, step.gradientScale,
      step.number == 1)
  }
}
