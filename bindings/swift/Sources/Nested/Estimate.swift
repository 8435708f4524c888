internal import CNested

extension nested_estimate: Record {}

/// What a configuration costs, counted without making the model.
public struct Estimate: Sendable, Hashable {
  /// Elements of all weights.
  public let parameters: Int
  /// Bytes of the weights.
  public let weightBytes: Int
  /// Bytes of the gradients and of the state of the default optimizer.
  public let trainerBytes: Int
  /// Bytes of working memory of one training step.
  public let activationBytes: Int
  /// Bytes of one session's own memory, once every level has learnt.
  public let sessionBytes: Int
  /// Floating-point operations per token of a forward pass.
  public let flopsForward: Double
  /// The same of a training step: forward and backward.
  public let flopsTrain: Double

  /// Bytes of a training step: weights, trainer and working memory.
  public var trainingBytes: Int { weightBytes + trainerBytes + activationBytes }
}

extension Configuration {
  /// What a model of this configuration costs: training on `batch` sequences of `length` tokens, and a session after `length`
  /// tokens.
  ///
  /// - Throws: ``Status/range`` where `batch` or `length` is less than 1, or `length` more than 1,048,576.
  public func estimate(batch: Int = 1, length: Int = 512) throws(NestedError) -> Estimate {
    var record = nested_estimate.stamped()
    try check(
      unsafe handle.use { unsafe nested_config_estimate($0, Int64(batch), Int64(length), &record) })
    return Estimate(
      parameters: Int(record.n_params), weightBytes: Int(record.weight_bytes),
      trainerBytes: Int(record.trainer_bytes), activationBytes: Int(record.activation_bytes),
      sessionBytes: Int(record.session_bytes), flopsForward: record.flops_forward,
      flopsTrain: record.flops_train)
  }
}
