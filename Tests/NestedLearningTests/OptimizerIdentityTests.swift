import NestedBase
import NestedLearning
import NestedTensor
import Oracle
import Testing

/// "Optimizers are associative memories" (paper 2.2 to 2.9): what the paper says an optimizer is, against what it does.
@Suite struct OptimizerIdentityTests {
  /// A matrix under an optimizer.
  private final class Run {
    let optimizer: any Optimizer
    let rows: Int, columns: Int
    let weights: Buffer, state: Buffer
    private let scratch: Buffer
    private var number = 0
    let kernels: KernelSet

    init(_ settings: OptimizerSettings, rows: Int, columns: Int, start: [Double]? = nil) throws {
      optimizer = settings.make()
      (self.rows, self.columns) = (rows, columns)
      weights = Buffer(start ?? [Double](repeating: 0, count: rows * columns))
      state = Buffer([Double](repeating: 0, count: max(1, optimizer.slots.count) * rows * columns))
      scratch = Buffer([Double](repeating: 0, count: 1 + optimizer.matrixScratch(rows: rows, columns: columns)))
      kernels = try #require(KernelSet.current)
    }

    /// Returns the change of the weights.
    @discardableResult func step(_ gradient: [Double], lr: Double) -> [Double] {
      number += 1
      let before = weights.values
      let g = Buffer(gradient)
      let now = UpdateStep(number: number, learningRate: lr)
      if optimizer.takesMatrices(ParameterForm(rows: rows, columns: columns, isHidden: rows > 1)) {
        optimizer.updateMatrix(
          weights.floats, state.floats, stride: rows * columns, g.floats, rows: rows, columns: columns,
          step: now, bench: Workbench(kernels: kernels, threads: nil, scratch: scratch.floats))
      } else {
        optimizer.update(
          weights.floats, state.floats, stride: rows * columns, g.floats, count: rows * columns, step: now,
          kernels: kernels)
      }
      return zip(weights.values, before).map { Double($0) - Double($1) }
    }
    func slot(_ index: Int) -> [Float] {
      Array(state.values[index * rows * columns..<(index + 1) * rows * columns])
    }
  }

  private func gradients(_ count: Int, _ size: Int, scale: Double = 1, seed: UInt64 = 31) -> [[Double]] {
    let random = Philox(seed: seed, stream: 1)
    return (0..<count).map { step in
      (0..<size).map { scale * Double(Float(random.normal(at: UInt64(step * size + $0)))) }
    }
  }

  /// ∇f by central differences, exact for the quadratics below.
  private func slope(_ x: [Double], _ f: ([Double]) -> Double) -> [Double] {
    x.indices.map { i in
      var (up, down) = (x, x)
      up[i] += 0.5
      down[i] -= 0.5
      return f(up) - f(down)
    }
  }

  /// Eqs 33, 34: W + m, m one gradient step on ⟨m, g⟩ with a weight decay of m.
  @Test func momentumIsGradientDescentOnItsInnerObjective() throws {
    let (alpha, eta) = (0.9, 0.05)
    let run = try Run(OptimizerSettings(.momentum, momentum: alpha), rows: 1, columns: 9)
    var m = [Double](repeating: 0, count: 9)
    var w = m
    for g in gradients(8, 9) {
      let inner = slope(m) { m in
        var sum = 0.0
        for (x, y) in zip(m, g) { sum += x * y + (1 - alpha) / (2 * eta) * x * x }
        return sum
      }
      m = zip(m, inner).map { $0 - eta * $1 }
      w = zip(w, m).map { $0 + $1 }
      run.step(g, lr: eta)
      #expect(relativeError(run.weights.values, w) < 1e-6)
    }
  }

  /// Section 2.5, with its numbers put right: the last 7 gradients are half of a momentum of 0.9, the last 44 99 %.
  @Test func momentumForgetsAfter44Gradients() throws {
    let run = try Run(OptimizerSettings(.momentum, momentum: 0.9), rows: 1, columns: 1)
    var sum = 0.0
    var reached: [Int] = []
    for i in 0..<60 {
      run.step([i == 0 ? 1 : 0], lr: 0)
      sum += 0.1 * Double(run.slot(0)[0])
      for (k, share) in [0.5, 0.99].enumerated() where reached.count == k && sum >= share { reached.append(i + 1) }
    }
    #expect(reached == [7, 44])
  }

  /// Eqs 101 to 105: Adam's direction is the optimum of Σ ‖m ⊙ g_i - P‖² for P = √Σ g², whose sums do not decay. With decays
  /// near 1 Adam's averages are those sums over t, so its step is theirs by √t.
  @Test func adamIsTheOptimumOfItsAssociativeMemory() throws {
    let beta = 1 - 1e-6
    let run = try Run(OptimizerSettings(.adam, beta1: beta, beta2: beta, eps: 1e-12), rows: 1, columns: 7)
    let all = gradients(12, 7)
    for t in 1...12 {
      let seen = all.prefix(t)
      let h: [Double] = (0..<7).map { i in seen.reduce(0.0) { $0 + $1[i] * $1[i] } }
      let p = h.map { $0.squareRoot() }
      let sums: [Double] = (0..<7).map { i in seen.reduce(0.0) { $0 + $1[i] } }
      let optimum: [Double] = (0..<7).map { sums[$0] * p[$0] / h[$0] }
      // It is where the objective is flat.
      let flat = slope(optimum) { m in
        var sum = 0.0
        for g in seen {
          for i in 0..<7 {
            let miss = m[i] * g[i] - p[i]
            sum += miss * miss
          }
        }
        return sum
      }
      #expect(flat.allSatisfy { abs($0) < 1e-9 })
      let change = run.step(all[t - 1], lr: 0.1)
      let expected = optimum.map { -0.1 * $0 / Double(t).squareRoot() }
      #expect(relativeError(change.map { Float($0) }, expected) < 1e-4, "step \(t)")
    }
  }

  /// Eqs 48, 49 for one row: a gradient step on ½ (m gᵀ + η)², whose value is what is written.
  @Test func deltaMomentumIsAStepOnItsRegression() throws {
    let eta = 0.02
    let run = try Run(OptimizerSettings(.deltaMomentum, momentum: 1), rows: 1, columns: 6)
    var m = [Double](repeating: 0, count: 6)
    for g in gradients(9, 6, scale: 0.2) {
      #expect(g.reduce(0) { $0 + $1 * $1 } < 1)
      let inner = slope(m) { m in
        let value = zip(m, g).reduce(eta) { $0 + $1.0 * $1.1 }
        return 0.5 * value * value
      }
      m = zip(m, inner).map { $0 - $1 }
      run.step(g, lr: eta)
      #expect(relativeError(run.slot(0), m) < 1e-5)
    }
  }

  /// Eq 45's tasks: gradients along orthogonal directions erase nothing of each other, and equal ones do.
  @Test func deltaMomentumKeepsOrthogonalTasksAndReplacesEqualOnes() throws {
    let delta = try Run(OptimizerSettings(.deltaMomentum, momentum: 0.9), rows: 1, columns: 5)
    let plain = try Run(OptimizerSettings(.momentum, momentum: 0.9), rows: 1, columns: 5)
    for i in 0..<5 {
      let g = (0..<5).map { $0 == i ? 1.0 : 0.0 }
      let (a, b) = (delta.step(g, lr: 0.1), plain.step(g, lr: 0.1))
      #expect(zip(a, b).allSatisfy { abs($0 - $1) < 1e-6 })
    }
    let again = try Run(OptimizerSettings(.deltaMomentum, momentum: 1), rows: 1, columns: 2)
    for _ in 0..<4 { again.step([0, 1], lr: 0.1) }
    #expect(again.slot(0) == [0, -0.1])
  }

  /// A gradient of any size leaves the momentum bounded, where the printed rule diverges above √(1 + α).
  @Test func deltaMomentumIsStableForLargeGradients() throws {
    let run = try Run(OptimizerSettings(.deltaMomentum), rows: 3, columns: 4)
    for g in gradients(200, 12, scale: 1000) { run.step(g, lr: 1e-3) }
    #expect(run.slot(0).allSatisfy { abs($0) < 100 })
  }

  /// Eq 47 without memory is Adam's step without memory.
  @Test func preconditionedMomentumWithoutMomentumIsAdamWithoutItsFirstMoment() throws {
    let a = try Run(
      OptimizerSettings(.preconditionedMomentum, beta2: 0.9, momentum: 0), rows: 1, columns: 11)
    let b = try Run(OptimizerSettings(.adam, beta1: 0, beta2: 0.9), rows: 1, columns: 11)
    for g in gradients(6, 11) {
      a.step(g, lr: 0.01)
      b.step(g, lr: 0.01)
    }
    #expect(relativeError(a.weights.values, b.weights.values.map { Double($0) }) < 1e-6)
  }

  /// Paper 2.3: five quintic steps take the singular values of the momentum into [0.68, 1.14], whatever its size.
  @Test(arguments: [(6, 6), (3, 9), (9, 3)], [1e-3, 1.0, 1e9])
  func muonsUpdateIsNearlyOrthogonal(shape: (Int, Int), scale: Double) throws {
    let (rows, columns) = shape
    let run = try Run(OptimizerSettings(.muon), rows: rows, columns: columns)
    // Well conditioned: an identity and a little noise.
    var g = gradients(1, rows * columns, scale: 0.05)[0]
    for i in 0..<min(rows, columns) { g[i * columns + i] += 1 }
    let change = run.step(g.map { $0 * scale }, lr: 1)
    let size = max(1, Double(rows) / Double(columns)).squareRoot()
    let scaled = OracleMatrix(rows, columns, change.map { $0 / size })
    let gram = rows <= columns ? scaled * scaled.transposed : scaled.transposed * scaled
    for i in 0..<gram.rows {
      #expect(gram[i, i] > 0.6 * 0.6 && gram[i, i] < 1.2 * 1.2)
      for j in 0..<i { #expect(abs(gram[i, j]) < 0.1) }
    }
  }

  /// Eq 50, as far as it is an optimizer: the answer of the memory descends, and has the gradient's length.
  @Test func deepMomentumDescendsByTheGradientsLength() throws {
    for (rows, columns) in [(7, 4), (4, 7)] {
      let run = try Run(OptimizerSettings(.dmgd), rows: rows, columns: columns)
      for g in gradients(20, rows * columns, scale: 3) {
        let change = run.step(g, lr: 0.1)
        let inner = zip(change, g).reduce(0) { $0 + $1.0 * $1.1 }
        let length = { (x: [Double]) in x.reduce(0) { $0 + $1 * $1 }.squareRoot() }
        #expect(inner < 0)
        #expect(abs(length(change) / (0.1 * length(g)) - 1) < 1e-4)
      }
      let before = run.state.values.map { abs($0) }.max() ?? 0
      // A gradient of zero changes nothing but what is forgotten.
      #expect(run.step([Double](repeating: 0, count: rows * columns), lr: 0.1).allSatisfy { $0 == 0 })
      #expect((run.state.values.map { abs($0) }.max() ?? 0) < before)
    }
  }

  /// Algorithm 1: the first f steps do not know the slow memory, which then shows itself every f steps; V only grows.
  @Test(arguments: [OptimizerSettings.Name.m3, .m3Literal])
  func theSlowMemoryOfM3MovesEveryFSteps(name: OptimizerSettings.Name) throws {
    func make(_ weight: Double) throws -> Run {
      var settings = OptimizerSettings(name)
      (settings.slowWeight, settings.slowPeriod) = (weight, 5)
      return try Run(settings, rows: 4, columns: 6)
    }
    let (with, without) = (try make(1), try make(0))
    var slow = with.slot(3)
    var v = with.slot(1)
    for (t, g) in gradients(16, 24).enumerated() {
      with.step(g, lr: 0.01)
      without.step(g, lr: 0.01)
      #expect((with.weights.values == without.weights.values) == (t < 5), "step \(t + 1)")
      #expect((with.slot(3) != slow) == ((t + 1) % 5 == 0), "step \(t + 1)")
      if name == .m3Literal { #expect(zip(with.slot(1), v).allSatisfy { $0 >= $1 }) }
      (slow, v) = (with.slot(3), with.slot(1))
    }
  }

  /// M3 moves as far as Muon at the same rate, whatever the size of the gradient.
  @Test(arguments: [1e-9, 1.0, 1e6]) func m3HasMuonsScale(scale: Double) throws {
    let run = try Run(OptimizerSettings(.m3), rows: 8, columns: 2)
    for g in gradients(5, 16, scale: scale) {
      let change = run.step(g, lr: 0.1)
      let length = change.reduce(0) { $0 + $1 * $1 }.squareRoot()
      #expect(abs(length - 0.1 * 2.0.squareRoot() * 2) < 1e-4)
    }
  }
}
