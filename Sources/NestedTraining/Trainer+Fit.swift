package import NestedBase
import NestedModels
package import NestedTensor

/// What a `fit` has done.
package struct FitResult: Equatable, Sendable {
  /// Optimizer steps finished, those that were skipped included.
  package var steps = 0
  package var skipped = 0
  /// Mean of the finished steps' losses; NaN before the first.
  package var loss = Double.nan
  package var last = StepResult()

  package init() {}
}

extension Trainer {
  /// The Philox stream of the windows, far from those that initialise parameters.
  static let windowStream: UInt32 = 0x8000_0001

  /// `steps` optimizer steps on windows drawn from one long text. Each row is a fresh stream of
  /// `length` tokens and their successors, from a place that the seed and the number of windows
  /// drawn so far decide: a resumed trainer goes on with the same sequence. Cancelling ends between
  /// steps, or within one, which then leaves no trace; `lastFit` says how far it came. Progress:
  /// stage "fit", steps done, all steps, mean loss of the last step.
  package func fit(
    tokens: Tokens, count: Int, steps: Int, batch: Int, length: Int, control: RunControl
  ) throws(NestedError) -> FitResult {
    lastFit = FitResult()
    guard steps >= 0, batch > 0, length > 0 else {
      throw NestedError(.range, "[fit] steps, batch and length must be positive")
    }
    guard count > length else {
      throw NestedError(
        .range, "[fit] expected more than \(length) tokens for windows of \(length), got \(count)",
        place: "tokens")
    }
    guard counters.batches == 0 && !isGradientLent else {
      throw NestedError(.state, "[fit] a gradient has been collected: apply() or zero() it first")
    }
    let (elements, overflow) = batch.multipliedReportingOverflow(by: length)
    guard !overflow, elements <= Int(Int32.max) else {
      throw NestedError(.range, "[fit] batch times length is too large", place: "batch")
    }
    var windows = Windows(text: tokens, count: count, batch: batch, length: length)
    let progress = Progress(steps)
    let inner = RunControl { (_, _, _, _) throws(NestedError) in
      try control.report("fit", progress.done, progress.total, progress.loss)
    }
    var lossSum = 0.0
    var lossSteps = 0
    for done in 0..<steps {
      let start = counters.drawn
      do throws(NestedError) {
        for _ in 0..<options.accumulate {
          counters.drawn = windows.draw(seed: options.seed, from: counters.drawn)
          lastFit.last = try windows.withBatch { (rows: Batch) throws(NestedError) in
            try self.step(rows, control: inner)
          }
        }
      } catch {
        zero()
        counters.drawn = start
        throw error
      }
      lastFit.steps = done + 1
      if !lastFit.last.applied { lastFit.skipped += 1 }
      if lastFit.last.loss.isFinite {
        lossSum += lastFit.last.loss
        lossSteps += 1
        lastFit.loss = lossSum / Double(lossSteps)
      }
      progress.done = done + 1
      progress.loss = lastFit.last.loss
    }
    try control.report("fit", steps, steps, progress.loss)
    return lastFit
  }
}

/// Where a `fit` stands, for the reports from inside its steps.
private final class Progress {
  let total: Int
  var done = 0
  var loss = Double.nan

  init(_ total: Int) { self.total = total }
}

/// The rows of a `fit`: memory for one batch, filled anew for each.
private struct Windows {
  let text: Tokens
  let count: Int
  let batch: Int
  let length: Int
  var inputs: [Int32]  // [batch, length]
  var targets: [Int32]  // [batch, length]

  init(text: Tokens, count: Int, batch: Int, length: Int) {
    self.text = text
    self.count = count
    self.batch = batch
    self.length = length
    inputs = [Int32](repeating: 0, count: batch * length)
    targets = inputs
  }

  /// Row r is window number `drawn` + r of the sequence. Returns the number of the next window.
  mutating func draw(seed: UInt64, from drawn: UInt64) -> UInt64 {
    let random = Philox(seed: seed, stream: Trainer.windowStream)
    for row in 0..<batch {
      let start = random.index(below: count - length, at: drawn &+ UInt64(row))
      for t in 0..<length {
        inputs[row * length + t] = text[start + t]
        targets[row * length + t] = text[start + t + 1]
      }
    }
    return drawn &+ UInt64(batch)
  }

  func withBatch<R>(_ body: (Trainer.Batch) throws(NestedError) -> R) throws(NestedError) -> R {
    try unsafe inputs.withUnsafeBufferPointer { (inputs) throws(NestedError) in
      try unsafe targets.withUnsafeBufferPointer { (targets) throws(NestedError) in
        guard let tokens = inputs.baseAddress, let next = targets.baseAddress else {
          throw NestedError(.internalError, "[fit] an empty batch")
        }
        return try body(
          Trainer.Batch(
            tokens: unsafe Tokens(tokens), targets: unsafe Tokens(next), batch: batch,
            length: length))
      }
    }
  }
}
