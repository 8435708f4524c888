internal import CNested

/// How well a model predicts a batch.
public struct Evaluation: Hashable, Sendable {
  /// Weighted mean in nats per target, NaN without targets.
  public let loss: Double
  /// exp(loss).
  public let perplexity: Double
  /// Targets that counted, by their weights.
  public let targets: Double

  init(_ record: nested_eval) {
    loss = record.loss
    perplexity = record.perplexity
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

  /// Logits [B, T, V] of a batch from fresh state; targets are not looked at.
  ///
  /// - Throws: as ``evaluate(_:run:)``.
  public func forward(_ batch: Batch, run: Run = Run()) throws(NestedError) -> Tensor {
    let shape = [batch.rows, batch.length, try info.vocab]
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
