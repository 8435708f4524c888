import NestedBase
import NestedLearning
import NestedTensor
import Testing

/// Delta gradient descent (paper 2.8) against its definition.
@Suite struct DGDTests {
  private func step(
    _ w: [Double], _ g: [Double], rows: Int, inputs: [Double]?, lr: Double, inputScale: Double = 1,
    gradientScale: Double = 1, decay: Double = 0
  ) throws -> [Double] {
    let kernels = try #require(KernelSet.current)
    let columns = w.count / rows
    let optimizer = OptimizerSettings(.dgd).make()
    #expect(optimizer.slots.isEmpty && optimizer.readsInputs)
    let weights = Buffer(w), gradient = Buffer(g), state = Buffer([0])
    let x = inputs.map { Buffer($0) }
    let scratch = Buffer([Double](repeating: .nan, count: optimizer.matrixScratch(rows: rows, columns: columns)))
    optimizer.updateMatrix(
      weights.floats, state.floats, stride: w.count, gradient.floats, rows: rows, columns: columns,
      step: UpdateStep(
        number: 1, learningRate: lr, weightDecay: decay, gradientScale: gradientScale, inputScale: inputScale),
      bench: Workbench(kernels: kernels, threads: nil, scratch: scratch.floats, inputs: x?.floats))
    return weights.values.map { Double($0) }
  }

  private func close(_ a: [Double], _ b: [Double], _ bound: Double = 1e-6) -> Bool {
    zip(a, b).allSatisfy { abs($0 - $1) <= bound }
  }

  /// W = I, dL/dy = (1, -1), η = 1: paper.md 2.8's numbers, for ‖x‖ = 1 and 2.
  @Test func goldenVectors() throws {
    let one = try step([1, 0, 0, 1], [0.6, 0.8, -0.6, -0.8], rows: 2, inputs: [0.6, 0.8], lr: 1)
    #expect(close(one, [0.52, -0.64, 0.06, 1.08]))
    let two = try step([1, 0, 0, 1], [1.2, 1.6, -1.2, -1.6], rows: 2, inputs: [1.2, 1.6], lr: 1)
    #expect(close(two, [0.472, -0.704, -0.144, 0.808]))
  }

  /// Eq 56 by descent: the step is where ½‖W x - u‖² + ‖W - W_t‖² / 2η is flat.
  @Test(arguments: [0.01, 0.3, 5]) func theStepMinimisesItsObjective(lr: Double) throws {
    let random = Philox(seed: 41, stream: 1)
    func numbers(_ count: Int, _ at: UInt64) -> [Double] {
      (0..<count).map { Double(Float(random.normal(at: at + UInt64($0)))) }
    }
    let (rows, columns) = (5, 17)
    let w = numbers(rows * columns, 0), x = numbers(columns, 1000), u = numbers(rows, 2000)
    let g = (0..<rows * columns).map { -u[$0 / columns] * x[$0 % columns] }
    let new = try step(w, g, rows: rows, inputs: x.map { 4 * $0 }, lr: lr, inputScale: 0.25)
    for i in 0..<rows {
      let y = (0..<columns).reduce(0) { $0 + new[i * columns + $1] * x[$1] }
      for j in 0..<columns {
        let slope = (y - u[i]) * x[j] + (new[i * columns + j] - w[i * columns + j]) / lr
        #expect(abs(slope) < 2e-5 * (1 + 1 / lr))
      }
    }
  }

  @Test func withoutAnInputItIsAGradientStep() throws {
    let w = [1.0, 2, 3, 4], g = [0.5, -0.5, 1, 2]
    for inputs in [nil, [0.0, 0]] {
      let new = try step(w, g, rows: 2, inputs: inputs, lr: 0.1, gradientScale: 0.5, decay: 0.2)
      #expect(close(new, zip(w, g).map { 0.98 * $0 - 0.05 * $1 }))
    }
  }
}
