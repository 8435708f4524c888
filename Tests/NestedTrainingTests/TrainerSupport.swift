import NestedBase
import NestedCheckpoint
import NestedLearning
import NestedModels
import NestedTensor

@testable import NestedTraining

/// A Hope small enough that a step is instant, with a fast, a slow and a resting level.
enum Tiny {
  static let periods = [8, 40, 0]

  static func configuration(dModel: Int = 16, periods: [Int] = periods) -> ModelConfiguration {
    var configuration = ModelConfiguration(kind: .hope)
    configuration.vocab = 23
    configuration.dModel = dModel
    configuration.nLayers = 2
    configuration.headDim = 8
    configuration.cms.levels = periods.map { LevelConfiguration(chunk: $0, hidden: 12) }
    return configuration
  }

  static func model(threads: Int = 2, limit: Int = 0, seed: UInt64 = 5, dModel: Int = 16) throws
    -> Model
  {
    let runtime = try Runtime(threads: threads, memoryLimit: limit)
    return try Model(runtime: runtime, configuration: configuration(dModel: dModel), seed: seed)
  }

  /// `count` tokens of a text that repeats itself with changes.
  static func text(_ count: Int, seed: UInt64 = 1) -> [Int32] {
    let random = Philox(seed: seed, stream: 9)
    return (0..<count).map { (i: Int) -> Int32 in
      if random.uniform(at: UInt64(i)) < 0.2 {
        return Int32(random.index(below: 23, at: UInt64(i + 1_000_000)))
      }
      return Int32((i * 5 + i / 7) % 23)
    }
  }
}

var quiet: RunControl { RunControl(poll: nil) }

/// Rows with an address.
final class Rows {
  let batch: Trainer.Batch
  private let memory: UnsafeMutableBufferPointer<Int32>

  init(_ tokens: [Int32], targets: [Int32]? = nil, batch: Int) {
    memory = .allocate(capacity: 2 * tokens.count)
    for (i, token) in tokens.enumerated() { memory.initializeElement(at: i, to: token) }
    for i in tokens.indices {
      memory.initializeElement(at: tokens.count + i, to: targets?[i] ?? 0)
    }
    let base = memory.baseAddress!
    self.batch = Trainer.Batch(
      tokens: Tokens(base), targets: targets == nil ? nil : Tokens(base + tokens.count),
      batch: batch, length: tokens.count / batch)
  }
  deinit { memory.deallocate() }
}

extension Trainer {
  convenience init(_ model: Model, _ json: String) throws {
    try self.init(model: model, options: Array(json.utf8))
  }

  func step(_ rows: Rows, _ control: RunControl = quiet) throws -> StepResult {
    try withExtendedLifetime(rows) { try step(rows.batch, control: control) }
  }

  func collect(_ rows: Rows) throws {
    _ = try withExtendedLifetime(rows) { try accumulate(rows.batch, control: quiet) }
  }

  func fit(
    _ text: [Int32], steps: Int, batch: Int = 2, length: Int = 9, _ control: RunControl = quiet
  ) throws -> FitResult {
    try text.withUnsafeBufferPointer { buffer in
      try fit(
        tokens: Tokens(buffer.baseAddress!), count: text.count, steps: steps, batch: batch,
        length: length, control: control)
    }
  }

  /// Everything that a step may change, as bits.
  var everything: [UInt32] {
    get throws {
      var numbers: [Double] = [
        Double(counters.step), Double(counters.batches), counters.lossSum, counters.lossTargets,
        Double(counters.drawn), counters.learningRateOverride, targets[0],
      ]
      numbers += counters.clock.targets
      numbers += counters.clock.steps.map { Double($0) }
      var flat = try model.weights
      flat += gradientStorage.values(gradientCount + plan.inputCount)
      flat += pending.values(plan.pendingCount + plan.inputCount)
      flat += state.values(optimizer.slots.count * gradientCount)
      var bits = flat.map(\.bitPattern)
      for number in numbers {
        bits.append(UInt32(number.bitPattern >> 32))
        bits.append(UInt32(truncatingIfNeeded: number.bitPattern))
      }
      return bits
    }
  }
}

extension Storage {
  func values(_ count: Int) -> [Float] { (0..<count).map { floats[$0] } }
}

extension Model {
  var weights: [Float] {
    get throws { withWeights { (w: Floats) in (0..<self.layout.count).map { w[$0] } } }
  }
}

/// ‖a - b‖ / ‖b‖
func relativeError(_ a: [Float], _ b: [Float]) -> Double {
  var (difference, norm) = (0.0, 0.0)
  for (x, y) in zip(a, b) {
    difference += (Double(x) - Double(y)) * (Double(x) - Double(y))
    norm += Double(y) * Double(y)
  }
  return norm > 0 ? (difference / norm).squareRoot() : difference.squareRoot()
}
