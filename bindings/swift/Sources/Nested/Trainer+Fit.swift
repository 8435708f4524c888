internal import CNested

/// What a `fit` came to.
public struct Fit: Hashable, Sendable {
  /// Steps made.
  public let steps: Int
  /// Of these, updates skipped.
  public let skipped: Int
  /// Over the steps of this call, in nats; NaN without steps.
  public let meanLoss: Double
  /// Of the last step.
  public let lastLoss: Double
}

extension Trainer {
  /// Makes optimizer steps over random windows of a text. The windows depend on the seed and on how
  /// many have been drawn, so a resumed trainer sees what the uninterrupted one would.
  ///
  /// - Parameters:
  ///   - tokens: More than `length` of them: `[Int32]`, bytes, `String.utf8`, or any integers below
  ///     V.
  ///   - steps: Optimizer steps to make.
  ///   - batch: Windows of a step (times ``Options/accumulate``).
  ///   - length: Tokens that a window predicts.
  ///   - run: Progress in steps, stage "fit", with the loss of the last step.
  /// - Throws: ``Status/range`` for too few tokens or one outside the vocabulary; ``Status/state``
  ///   while a gradient is collected or has been taken out (apply or zero it);
  ///   ``Status/cancelled``. When the call ends early, ``NestedError/committed`` steps have been
  ///   made and stay made.
  @discardableResult
  public func fit<Tokens: Sequence>(
    _ tokens: Tokens, steps: Int, batch: Int, length: Int, run: Run = Run()
  ) throws(NestedError) -> Fit where Tokens.Element: BinaryInteger {
    let ids = try tokenIDs(tokens)
    var record = nested_fit.stamped()
    try unsafe core.call(run, committed: Int(record.n_steps)) { trainer, run in
      unsafe nested_trainer_fit(
        trainer, ids, ids.count, Int64(steps), Int64(batch), Int64(length), run, &record)
    }
    return Fit(
      steps: Int(record.n_steps), skipped: Int(record.n_skipped), meanLoss: record.mean_loss,
      lastLoss: record.last_loss)
  }
}
