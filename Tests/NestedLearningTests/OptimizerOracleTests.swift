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
      Row(
        settings: OptimizerSettings(.muon, momentum: 0.8),
        rule: .muon(momentum: 0.8, beta1: 0.9, beta2: 0.999, eps: 1e-8)),
      Row(settings: OptimizerSettings(.deltaMomentum, momentum: 0.8), rule: .deltaMomentum(0.8)),
      Row(settings: OptimizerSettings(.dmgd, momentum: 0.8), rule: .deepMomentum(0.8)),
      Row(settings: slow(.m3), rule: .m3(numbers)),
      Row(settings: slow(.m3Literal), rule: .m3Literal(numbers), lr: 0.005),
    ]

    private static let numbers = OracleOptimizer.M3Numbers(
      beta1: 0.8, beta2: 0.9, beta3: 0.6, alpha: 0.7, period: 4, eps: 1e-6)
    private static func slow(_ name: OptimizerSettings.Name) -> OptimizerSettings {
      var settings = OptimizerSettings(name, beta1: 0.8, beta2: 0.9, eps: 1e-6)
      (settings.slowBeta, settings.slowWeight, settings.slowPeriod) = (0.6, 0.7, 4)
      return settings
    }
  }

  /// Names decide what is a matrix between hidden layers.
  static let shapes: [(name: String, shape: [Int])] = [
    ("norm", [67]), ("embed.weight", [9, 5]), ("q_conv.weight", [6, 4]), ("wide", [5, 13]),
    ("tall", [13, 5]), ("square", [16, 16]), ("heads", [3, 4, 6]), ("row", [2, 1, 7]), ("one", [1, 1]),
  ]

  @Test func everyOptimizerHasARow() {
    // dgd reads more than a gradient: DGDTests.
    #expect(Set(Row.all.map(\.settings.name)).union([.dgd]) == Set(OptimizerSettings.Name.allCases))
  }

  private func form(_ name: String, _ shape: [Int]) -> ParameterForm {
    let count = shape.reduce(1, *)
    guard shape.count > 1 else { return ParameterForm(rows: 1, columns: count, isHidden: false) }
    let (rows, columns) = (shape[shape.count - 2], shape[shape.count - 1])
    return ParameterForm(
      matrices: count / (rows * columns), rows: rows, columns: columns,
      isHidden: isHiddenMatrix(name, shape))
  }

  /// 1e-6 relative; where Newton-Schulz lifts small singular values, it lifts their rounding as well: 1e-5.
  @Test(arguments: Row.all, OptimizerOracleTests.shapes.map(\.name))
  func tenStepsAgree(row: Row, name: String) throws {
    let kernels = try #require(KernelSet.current)
    let optimizer = row.settings.make()
    let shape = try #require(Self.shapes.first { $0.name == name }).shape
    let form = form(name, shape)
    let count = shape.reduce(1, *)
    let random = Philox(seed: 21, stream: 1)
    func numbers(_ step: Int) -> [Double] {
      (0..<count).map { Double(Float(random.normal(at: UInt64(step * count + $0)))) }
    }
    var expected = [name: numbers(0)]
    var oracle = OracleOptimizer(row.rule, shapes: [name: shape])
    let weights = Buffer(expected[name]!)
    let state = Buffer([Double](repeating: .nan, count: max(1, optimizer.slots.count) * count))
    let scratch = Buffer(
      [Double](repeating: .nan, count: 1 + optimizer.matrixScratch(rows: form.rows, columns: form.columns)))
    optimizer.initial(state.floats, stride: count, parameters: weights.floats, count: count)
    for step in 1...10 {
      let gradient = numbers(step)
      let g = Buffer(gradient)
      // The scale and the decay that a caller may ask for, by hand.
      let lr = row.lr / Double(step)
      expected[name] = expected[name]!.map { $0 * (1 - lr * 0.1) }
      oracle.step(&expected, [name: gradient.map { $0 * 0.5 }], lr: lr, decays: { _ in false })
      let now = UpdateStep(number: step, learningRate: lr, weightDecay: 0.1, gradientScale: 0.5)
      if optimizer.takesMatrices(form) {
        let size = form.rows * form.columns
        for i in 0..<form.matrices {
          optimizer.updateMatrix(
            weights.floats + i * size, state.floats + i * size, stride: count, g.floats + i * size,
            rows: form.rows, columns: form.columns, step: now,
            bench: Workbench(kernels: kernels, threads: nil, scratch: scratch.floats))
        }
      } else {
        optimizer.update(
          weights.floats, state.floats, stride: count, g.floats, count: count, step: now,
          kernels: kernels)
      }
      let orthogonal = [.muon, .m3, .m3Literal].contains(row.settings.name)
      #expect(
        relativeError(weights.values, expected[name]!) < (orthogonal ? 1e-5 : 1e-6), "step \(step)")
    }
  }

  /// Threads take rows of a product; nothing else of a large matrix depends on them.
  @Test(arguments: OptimizerSettings.Name.allCases)
  func threadsChangeNoBitOfALargeMatrix(name: OptimizerSettings.Name) throws {
    let kernels = try #require(KernelSet.current)
    let optimizer = OptimizerSettings(name).make()
    let (rows, columns) = (150, 201)
    guard optimizer.takesMatrices(ParameterForm(rows: rows, columns: columns, isHidden: true)) else { return }
    let random = Philox(seed: 22, stream: 1)
    let numbers = (0..<rows * columns).map { random.normal(at: UInt64($0)) }
    var results: [[UInt32]] = []
    for threads in [1, 3] {
      let pool = try ThreadPool(threads: threads)
      let weights = Buffer(numbers), g = Buffer(numbers.reversed())
      let state = Buffer([Double](repeating: 0, count: optimizer.slots.count * numbers.count))
      let scratch = Buffer(
        [Double](repeating: .nan, count: optimizer.matrixScratch(rows: rows, columns: columns)))
      for step in 1...3 {
        optimizer.updateMatrix(
          weights.floats, state.floats, stride: numbers.count, g.floats, rows: rows, columns: columns,
          step: UpdateStep(number: step, learningRate: 0.01),
          bench: Workbench(kernels: kernels, threads: pool, scratch: scratch.floats))
      }
      results.append((weights.values + state.values).map(\.bitPattern))
    }
    #expect(results[0] == results[1])
  }
}
