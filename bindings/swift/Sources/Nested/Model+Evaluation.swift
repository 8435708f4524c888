internal import CNested

/// How well a model predicts a batch.
public struct Evaluation: Hashable, Sendable {
  /// Weighted mean per target, NaN without targets: nats, or for the task "regress" half the
  /// squared error.
  public let loss: Double
  /// exp(loss); NaN for the task "regress".
  public let perplexity: Double
  /// Of the task "classify": the share of the targets that were ranked first, by their weights;
  /// else NaN.
  public let accuracy: Double
  /// Targets that counted, by their weights.
  public let targets: Double

  init(_ record: nested_eval) {
    loss = record.loss
    perplexity = record.perplexity
    accuracy = record.accuracy
    targets = record.n_targets
  }
}

extension Model {
  /// Loss of a batch from fresh state; the weights stay as they are.
  ///
  /// - Throws: ``Status/range`` for a token or target outside the vocabulary, ``Status/cancelled``.
  public func evaluate(_ batch: Batch, run: Run = Run()) throws(NestedError) -> Evaluation {
    var record = nested_eval.stamped()
    try unsafe run.call { run in
      unsafe handle.use { model in
        unsafe batch.use { unsafe nested_model_evaluate(model, $0, run, &record) }
      }
    }
    return Evaluation(record)
  }

  /// Outputs [B, T, outputs] of a batch from fresh state; targets are not looked at: logits, or the
  /// numbers of the task "regress".
  ///
  /// - Throws: as ``evaluate(_:run:)``.
  public func forward(_ batch: Batch, run: Run = Run()) throws(NestedError) -> Tensor {
    try forward(batch, [batch.rows, batch.length, info.outputs], run)
  }

  /// Outputs [B, outputs] of the tasks "classify" and "regress", one answer for each row.
  ///
  /// - Throws: as ``evaluate(_:run:)``; ``Status/shape`` for other tasks.
  public func forwardRows(_ batch: Batch, run: Run = Run()) throws(NestedError) -> Tensor {
    try forward(batch, [batch.rows, info.outputs], run)
  }

  private func forward(
    _ batch: Batch, _ shape: [Int], _ run: Run
  ) throws(NestedError) -> Tensor {
    var values = try zeros(shape)
    try unsafe run.call { run in
      unsafe withView(&values, shape: shape) { view in
        unsafe handle.use { model in
          unsafe batch.use { unsafe nested_model_forward(model, $0, run, view) }
        }
      }
    }
    return Tensor(unchecked: shape, values)
  }
}

/// Room for a result.
func zeros(_ shape: [Int], function: String = #function) throws(NestedError) -> [Float] {
  guard let count = product(shape), count < Int.max / MemoryLayout<Float>.stride else {
    throw NestedError(.range, "\(shape) is too large", place: "shape", function: function)
  }
  return [Float](repeating: 0, count: count)
}
