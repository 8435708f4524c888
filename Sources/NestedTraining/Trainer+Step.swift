package import NestedBase
package import NestedModels
package import NestedTensor

extension Trainer {
  /// One batch of rows, borrowed for the call. Every row is a fresh stream from position 0.
  package struct Batch {
    package var input: NetworkInput  // [batch, length]
    /// [batch, length], negative = no target; nil = each token's successor in its row.
    package var targets: Tokens?
    /// [batch, length] loss weights, or nil.
    package var weights: Floats?
    /// In place of targets and weights, for the tasks classify and regress.
    package var labels: Labels?
    package var batch: Int
    package var length: Int
    private var owners: [Storage] = []

    package init(
      tokens: Tokens, targets: Tokens? = nil, weights: Floats? = nil, batch: Int, length: Int
    ) {
      input = .tokens(tokens)
      self.targets = targets
      self.weights = weights
      self.batch = batch
      self.length = length
    }

    /// Labelled rows; `owners` keeps the vectors that are not the caller's.
    package init(
      _ input: NetworkInput, labels: Labels?, batch: Int, length: Int, owners: [Storage] = []
    ) {
      self.input = input
      self.labels = labels
      self.batch = batch
      self.length = length
      self.owners = owners
    }
  }

  /// gradient += the batch's gradient, all or nothing. Returns the batch's summed loss and its
  /// targets.
  @discardableResult
  package func accumulate(
    _ batch: Batch, control: RunControl
  ) throws(NestedError) -> LabelLoss {
    let result = try buildCandidate(batch, control)
    let count = targets[0] + result.targets
    commitCandidate(count, result)
    return result
  }

  /// Steps with what has been collected. On failure everything is as before.
  package func apply(control: RunControl) throws(NestedError) -> StepResult {
    try control.report("apply", 0, 1, .nan)
    try checkTargets()
    copyGradientToCandidate()
    return try update(
      count: targets[0], lossSum: counters.lossSum, lossTargets: counters.lossTargets
    )
  }

  /// One optimizer step: forward, backward, reduce, clip, update. With the option `accumulate` at n
  /// the first n - 1 calls only collect.
  package func step(_ batch: Batch, control: RunControl) throws(NestedError) -> StepResult {
    let result = try buildCandidate(batch, control)
    let count = targets[0] + result.targets
    if counters.batches + 1 < options.accumulate {
      commitCandidate(count, result)
      var collected = StepResult()
      collected.step = counters.step
      collected.targets = count
      collected.loss = counters.lossSum / counters.lossTargets
      collected.learningRate = learningRate
      return collected
    }
    return try update(
      count: count, lossSum: counters.lossSum + result.lossSum,
      lossTargets: counters.lossTargets + result.targets)
  }

  /// candidate = gradient + the batch's gradient; nothing else changes.
  private func buildCandidate(
    _ batch: Batch, _ control: RunControl
  ) throws(NestedError) -> LabelLoss {
    try checkTargets()
    let candidate = candidateStorage.floats
    forEachBlock { (block, _) in (candidate + block.offset).fill(0, count: block.count) }
    let inputs = candidate + gradientCount, inputCount = plan.inputCount
    inputs.fill(0, count: inputCount)
    let runtime = model.runtime
    let engine = try runtime.checkOut()
    defer { runtime.checkIn(engine) }
    let result = try addBatch(
      batch, into: candidate, inputs: inputCount > 0 ? inputs : nil, engine, control)
    if counters.batches > 0 || isGradientLent {
      let (kernels, gradient) = (runtime.kernels, gradientStorage.floats)
      forEachBlock { (block, _) in
        let sum = candidate + block.offset
        kernels.add(sum, sum, gradient + block.offset, block.count)
      }
      kernels.add(inputs, inputs, gradient + gradientCount, inputCount)
    }
    return result
  }

  private func addBatch(
    _ batch: Batch, into gradient: Floats, inputs: Floats?, _ engine: Engine, _ control: RunControl
  ) throws(NestedError) -> LabelLoss {
    if let labels = batch.labels {
      return try addLabelGradient(
        of: model, batch, labels, into: gradient, inputs: inputs, engine: engine, control: control)
    }
    guard case .tokens(let tokens) = batch.input, !model.configuration.hasLabels else {
      throw NestedError(.argument, "[trainer] the batch has no labels", place: "batch.labels")
    }
    let result = try addGradient(
      of: model, tokens: tokens, targets: batch.targets, lossWeights: batch.weights, batch: batch.batch,
      length: batch.length, into: gradient, inputs: inputs, engine: engine, control: control)
    var total = LabelLoss()
    total.lossSum = result.lossSum
    total.targets = result.targets
    total.correct = .nan
    return total
  }

  private func commitCandidate(_ count: Double, _ result: LabelLoss) {
    swap(&gradientStorage, &candidateStorage)
    targets[0] = count
    counters.batches += 1
    counters.lossSum += result.lossSum
    counters.lossTargets += result.targets
  }

  private func copyGradientToCandidate() {
    let (candidate, gradient) = (candidateStorage.floats, gradientStorage.floats)
    forEachBlock { (block, _) in
      (candidate + block.offset).copy(from: gradient + block.offset, count: block.count)
    }
    (candidate + gradientCount).copy(from: gradient + gradientCount, count: plan.inputCount)
  }

  /// The count can be written from outside.
  private func checkTargets() throws(NestedError) {
    let count = targets[0]
    guard count >= 0 && count.isFinite else {
      throw NestedError(.numeric, "[trainer] the target count is not a number of 0 or more")
    }
  }
}
