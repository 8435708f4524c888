package import NestedBase
package import NestedTensor

/// w ← w - η g. No state.
package struct SGD: Optimizer {
  package init() {}

  package var slots: [String] { [] }

  package func update(
    _ w: Floats, _ state: Floats, stride: Int, _ g: Floats, count: Int, step: UpdateStep,
    kernels: KernelSet
  ) {
    // No momentum buffer is read or written at momentum 0.
    kernels.sgdMomentum(
      w, state, g, count, step.learningRate, 0, step.weightDecay, step.gradientScale, true, false)
  }
}
