import Foundation
import NestedBase
import NestedLearning
import NestedTensor
import Testing

/// Against PyTorch, by peers/fixtures/optimizers.json.
@Suite struct OptimizerTests {
  struct Case: Sendable, Decodable, CustomTestStringConvertible {
    struct Settings: Sendable, Decodable {
      var beta1: Double?
      var beta2: Double?
      var eps: Double?
      var momentum: Double?
    }
    var name: String
    var settings: Settings
    var decay: Double
    var clip: Double
    var rates: [Double]
    var norms: [Double]
    var weights: [[Double]]  // [keep, N]
    var state: [[Double]]  // [slots, N]

    var testDescription: String { "\(name), decay \(decay), clip \(clip)" }

    func optimizer() throws -> any Optimizer {
      var result = OptimizerSettings(try #require(OptimizerSettings.Name(rawValue: name)))
      result.beta1 = settings.beta1 ?? result.beta1
      result.beta2 = settings.beta2 ?? result.beta2
      result.eps = settings.eps ?? result.eps
      result.momentum = settings.momentum ?? result.momentum
      return result.make()
    }
  }

  struct Fixture: Sendable, Decodable {
    var keep: [Int]
    var initial: [Double]  // [N]
    var gradients: [[Double]]  // [steps, N]
    var cases: [Case]
    var muon: [MuonCase]
  }

  /// PyTorch's Muon, which is Keller Jordan's published step, in float64.
  struct MuonCase: Sendable, Decodable, CustomTestStringConvertible {
    var heads: Int, rows: Int, columns: Int
    var momentum: Double, lr: Double, decay: Double
    var initial: [Double], gradients: [[Double]], weights: [Double], buffer: [Double]
    var testDescription: String { "[\(heads), \(rows), \(columns)], momentum \(momentum), decay \(decay)" }
  }

  static let fixture: Fixture? = try? load()

  static func load() throws -> Fixture {
    let url = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appending(path: "peers/fixtures/optimizers.json")
    return try JSONDecoder().decode(Fixture.self, from: Data(contentsOf: url))
  }

  @Test(arguments: OptimizerTests.fixture?.cases ?? [])
  func updateAgreesWithPyTorch(test: Case) throws {
    let fixture = try #require(Self.fixture)
    let kernels = try #require(KernelSet.current)
    let optimizer = try test.optimizer()
    let count = fixture.initial.count
    let weights = Buffer(fixture.initial)
    // Padded stride, poisoned: nothing may be read or written between the slots.
    let stride = count + 5
    let state = Buffer([Double](repeating: .nan, count: max(1, optimizer.slots.count) * stride))
    optimizer.initial(state.floats, stride: stride, parameters: weights.floats, count: count)
    for (index, gradient) in fixture.gradients.enumerated() {
      let g = Buffer(gradient)
      let norm = kernels.sumOfSquares(g.floats, count).squareRoot()
      #expect(abs(norm - test.norms[index]) <= 1e-6 * test.norms[index])
      let step = UpdateStep(
        number: index + 1, learningRate: test.rates[index], weightDecay: test.decay,
        gradientScale: GradientClip.factor(norm: norm, limit: test.clip))
      // In two pieces that are no multiple of a vector: cutting must not matter.
      for range in [0..<11, 11..<count] {
        optimizer.update(
          weights.floats + range.lowerBound, state.floats + range.lowerBound, stride: stride,
          g.floats + range.lowerBound, count: range.count, step: step, kernels: kernels)
      }
      if let kept = fixture.keep.firstIndex(of: index + 1) {
        #expect(relativeError(weights.values, test.weights[kept]) < 1e-6, "step \(index + 1)")
        for (i, value) in weights.values.prefix(count).enumerated() {
          let expected = test.weights[kept][i]
          #expect(
            abs(Double(value) - expected) < 2e-6 * max(1, abs(expected)), "step \(index + 1), \(i)")
        }
      }
    }
    for (slot, expected) in test.state.enumerated() {
      let values = Array(state.values[slot * stride..<slot * stride + count])
      #expect(relativeError(values, expected) < 2e-6, "\(optimizer.slots[slot])")
    }
    #expect(test.state.count == optimizer.slots.count)
    for slot in optimizer.slots.indices {
      #expect(state.values[slot * stride + count..<(slot + 1) * stride].allSatisfy { $0.isNaN })
    }
  }

  /// The cases above are arguments: without this an unreadable fixture would pass as no case at
  /// all.
  @Test func theFixtureHoldsEveryOptimizerOfPyTorch() throws {
    let fixture = try Self.load()
    #expect(
      Set(fixture.cases.map(\.name)) == ["sgd", "momentum", "nesterov", "adagrad", "adam", "adamw"])
    #expect(fixture.muon.count == 4)
  }

  @Test func cuttingDoesNotChangeABit() throws {
    let fixture = try #require(Self.fixture)
    let kernels = try #require(KernelSet.current)
    let count = fixture.initial.count
    for name in OptimizerSettings.Name.allCases {
      let optimizer = OptimizerSettings(name).make()
      if optimizer.takesMatrices(ParameterForm(rows: 1, columns: count, isHidden: false)) { continue }
      var results: [[Float]] = []
      for pieces in [[0..<count], [0..<1, 1..<17, 17..<count]] {
        let weights = Buffer(fixture.initial)
        let state = Buffer([Double](repeating: 0, count: max(1, optimizer.slots.count) * count))
        for (index, gradient) in fixture.gradients.enumerated() {
          let g = Buffer(gradient)
          let step = UpdateStep(number: index + 1, learningRate: 0.01, weightDecay: 0.1)
          for range in pieces {
            optimizer.update(
              weights.floats + range.lowerBound, state.floats + range.lowerBound, stride: count,
              g.floats + range.lowerBound, count: range.count, step: step, kernels: kernels)
          }
        }
        results.append(weights.values + state.values)
      }
      #expect(results[0].map(\.bitPattern) == results[1].map(\.bitPattern), "\(name)")
    }
  }

  @Test(arguments: OptimizerTests.fixture?.muon ?? [])
  func muonIsItsAuthorsStep(test: MuonCase) throws {
    let kernels = try #require(KernelSet.current)
    let optimizer = OptimizerSettings(.muon, momentum: test.momentum).make()
    let (size, count) = (test.rows * test.columns, test.initial.count)
    let weights = Buffer(test.initial)
    let state = Buffer([Double](repeating: 0, count: 2 * count))
    let scratch = Buffer(
      [Double](repeating: .nan, count: optimizer.matrixScratch(rows: test.rows, columns: test.columns)))
    for (index, gradient) in test.gradients.enumerated() {
      let g = Buffer(gradient)
      for head in 0..<test.heads {
        optimizer.updateMatrix(
          weights.floats + head * size, state.floats + head * size, stride: count,
          g.floats + head * size, rows: test.rows, columns: test.columns,
          step: UpdateStep(number: index + 1, learningRate: test.lr, weightDecay: test.decay),
          bench: Workbench(kernels: kernels, threads: nil, scratch: scratch.floats))
      }
    }
    #expect(relativeError(weights.values, test.weights) < 1e-6)
    #expect(relativeError(Array(state.values.prefix(count)), test.buffer) < 1e-6)
  }

  @Test func clippingOnlyShortens() {
    #expect(GradientClip.factor(norm: 0.5, limit: 1) == 1)
    #expect(GradientClip.factor(norm: 0, limit: 1) == 1)
    #expect(GradientClip.factor(norm: 4, limit: 0) == 1)
    #expect(abs(GradientClip.factor(norm: 4, limit: 1) - 0.25) < 1e-6)
  }
}

/// Floats with an address.
final class Buffer {
  private let storage: UnsafeMutableBufferPointer<Float>

  init(_ values: [Double]) {
    storage = .allocate(capacity: values.count)
    for (i, value) in values.enumerated() { storage.initializeElement(at: i, to: Float(value)) }
  }
  deinit { storage.deallocate() }

  var floats: Floats { Floats(storage.baseAddress!) }
  var values: [Float] { Array(storage) }
}

func relativeError(_ a: [Float], _ b: [Double]) -> Double {
  var (difference, norm) = (0.0, 0.0)
  for (x, y) in zip(a, b) {
    difference += (Double(x) - y) * (Double(x) - y)
    norm += y * y
  }
  return norm > 0 ? (difference / norm).squareRoot() : difference.squareRoot()
}
