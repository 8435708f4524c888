package import NestedBase
package import NestedTensor

/// Delta Gradient Descent (paper eqs 54 to 57): the exact minimiser of ½‖W x - u‖² + ‖W - W_t‖² / 2η, u = -dL/dy,
///
///     η' = η / (1 + η ‖x‖²)        W ← W (1 - η λ) - η' ((W x) xᵀ + g)
///
/// for the matrices that layers multiply by, x the layer's input averaged over the batch (SPEC 4). The paper prints
/// η / (1 + η), which is this for ‖x‖ = 1. Whatever has no such input (norms, embed and head, convolutions, the memories'
/// initial states) takes a plain gradient step.
package struct DGD: Optimizer {
  package init() {}

  package var slots: [String] { [] }
  package var readsInputs: Bool { true }

  package func update(
    _ w: Floats, _ state: Floats, stride: Int, _ g: Floats, count: Int, step: UpdateStep,
    kernels: KernelSet
  ) {
    SGD().update(w, state, stride: stride, g, count: count, step: step, kernels: kernels)
  }

  package func takesMatrices(_ form: ParameterForm) -> Bool { form.hasInputs }

  /// The mean input.
  package func matrixScratch(rows: Int, columns: Int) -> Int { columns }

  package func updateMatrix(
    _ w: Floats, _ state: Floats, stride: Int, _ g: Floats, rows: Int, columns: Int,
    step: UpdateStep, bench: Workbench
  ) {
    guard let inputs = bench.inputs else {
      update(w, state, stride: stride, g, count: rows * columns, step: step, kernels: bench.kernels)
      return
    }
    let x = bench.scratch
    let mean = Float(step.inputScale)
    for j in 0..<columns { x[j] = mean * inputs[j] }
    let size = bench.kernels.sumOfSquares(x, columns)
    let rate = step.learningRate / (1 + step.learningRate * size)
    let keep = step.keep, erase = Float(-rate), write = Float(-rate * step.gradientScale)
    for i in 0..<rows {
      let (w, g) = (w + i * columns, g + i * columns)
      var y: Float = 0
      for j in 0..<columns { y += w[j] * x[j] }
      for j in 0..<columns { w[j] = keep * w[j] + erase * y * x[j] + write * g[j] }
    }
  }
}
