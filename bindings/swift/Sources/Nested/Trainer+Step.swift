internal import CNested

/// What one optimizer step came to.
public struct Step: Hashable, Sendable {
  /// Why nothing was updated.
  public enum Skip: Sendable {
    /// The batches had no targets.
    case noTargets
    /// The gradient was not finite, and was dropped.
    case notFinite
  }

  /// Whether the weights changed.
  public let isApplied: Bool
  /// Why not, or `nil` when the call only collected (``Trainer/Options/accumulate``) or was
  /// applied.
  public let skip: Skip?
  /// Optimizer steps so far.
  public let step: Int
  /// Targets behind this step, over all workers.
  public let targets: Double
  /// Mean over this worker's targets in nats, NaN when there are none.
  public let loss: Double
  /// Of the mean gradient of what was due to step, before clipping.
  public let gradientNorm: Double
  /// Of the change of the weights.
  public let updateNorm: Double
  /// The schedule's value for this step.
  public let learningRate: Double

  init(_ record: nested_step) {
    isApplied = record.applied != 0
    skip =
      record.skip_reason == NESTED_SKIP_NO_TARGETS
      ? .noTargets : record.skip_reason == NESTED_SKIP_NONFINITE ? .notFinite : nil
    step = Int(record.step)
    targets = record.n_targets
    loss = record.loss
    gradientNorm = record.grad_norm
    updateNorm = record.update_norm
    learningRate = record.lr
  }
}

extension Trainer {
  /// One optimizer step: forward, backward, reduce, clip, update. With ``Options/accumulate`` at k
  /// the first k - 1 of every k calls only collect. A CMS level steps when it has seen its chunk of
  /// targets, everything else each time.
  ///
  /// - Throws: ``Status/range`` for a token or target outside the vocabulary, ``Status/cancelled``.
  ///   Then weights, optimizer and gradient are as before.
  @discardableResult
  public func step(_ batch: Batch, run: Run = Run()) throws(NestedError) -> Step {
    var record = nested_step.stamped()
    try unsafe core.call(run) { trainer, run in
      unsafe batch.use { unsafe nested_trainer_step(trainer, $0, run, &record) }
    }
    return Step(record)
  }

  /// Adds the gradient of a batch to what has been collected. ``apply(run:)`` makes a step of it.
  ///
  /// - Throws: as ``step(_:run:)``.
  @discardableResult
  public func accumulate(_ batch: Batch, run: Run = Run()) throws(NestedError) -> Evaluation {
    var record = nested_eval.stamped()
    try unsafe core.call(run) { trainer, run in
      unsafe batch.use { unsafe nested_trainer_accumulate(trainer, $0, run, &record) }
    }
    return Evaluation(record)
  }

  /// One optimizer step with the gradient that has been collected.
  @discardableResult
  public func apply(run: Run = Run()) throws(NestedError) -> Step {
    var record = nested_step.stamped()
    try unsafe core.call(run) { trainer, run in
      unsafe nested_trainer_apply(trainer, run, &record)
    }
    return Step(record)
  }

  /// Drops the gradient that has been collected.
  public func zero() throws(NestedError) {
    try unsafe core.call { unsafe nested_trainer_zero($0) }
  }
}
