import NestedBase
import NestedLearning
import NestedTensor
import Oracle
import Testing

/// Every optimizer against the float64 oracle: ten steps on the same gradients.
@Suite struct OptimizerOracleTests {
  struct Row: Sendable, CustomTestStringConvertible {
    let settings: OptimizerSettings
    let rule: OracleOptimizer.Rule
    var lr = 0.02
    var testDescription: String { settings.name.rawValue }

    static let all: [Row] = [
      Row(settings: OptimizerSettings(.sgd), rule: .sgd),
      Row(settings: OptimizerSettings(.momentum, momentum: 0.8), rule: .momentum(0.8)),
      Row(settings: OptimizerSettings(.nesterov, momentum: 0.8), rule: .nesterov(0.8)),
      Row(settings: OptimizerSettings(.adagrad), rule: .adagrad(eps: 1e-10)),
      Row(
        settings: OptimizerSettings(.adam, beta1: 0.8, beta2: 0.9, eps: 1e-6),
        rule: .adamw(beta1: 0.8, beta2: 0.9, eps: 1e-6, weightDecay: 0)),
      Row(
        settings: OptimizerSettings(.adamw), rule: .adamw(beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0)),
      Row(
        settings: OptimizerSettings(.preconditionedMomentum, beta2: 0.9, momentum: 0.7),
        rule: .preconditioned(alpha: 0.7, beta2: 0.9, eps: 1e-8)),
    ]
  }

  @Test func everyOptimizerHasARow() {
    #expect(Set(Row.all.map(\.settings.name)) == Set(OptimizerSettings.Name.allCases))
  }

  @Test(arguments: Row.all) func tenStepsAgree(row: Row) throws {
    let kernels = try #require(KernelSet.current)
    let optimizer = row.settings.make()
    let count = 67
    let random = Philox(seed: 21, stream: 1)
    func numbers(_ step: Int) -> [Double] {
      (0..<count).map { Double(Float(random.normal(at: UInt64(step * count + $0)))) }
    }
    var expected = ["w": numbers(0)]
    var oracle = OracleOptimizer(row.rule)
    let weights = Buffer(expected["w"]!)
    let state = Buffer([Double](repeating: .nan, count: max(1, optimizer.slots.count) * count))
    optimizer.initial(state.floats, stride: count, parameters: weights.floats, count: count)
    for step in 1...10 {
      let gradient = numbers(step)
      let g = Buffer(gradient)
      // The scale and the decay that a caller may ask for, by hand.
      let lr = row.lr / Double(step)
      expected["w"] = expected["w"]!.map { $0 * (1 - lr * 0.1) }
      oracle.step(&expected, ["w": gradient.map { $0 * 0.5 }], lr: lr, decays: { _ in false })
      optimizer.update(
        weights.floats, state.floats, stride: count, g.floats, count: count,
        step: UpdateStep(number: step, learningRate: lr, weightDecay: 0.1, gradientScale: 0.5),
        kernels: kernels)
      #expect(relativeError(weights.values, expected["w"]!) < 1e-6, "step \(step)")
    }
  }
}
