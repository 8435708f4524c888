internal import CNested

/// Weights made from a ``Configuration``: what sessions share and trainers change.
///
/// A model is a reference: copies are the same model; ``clone()`` makes another. Any thread may use
/// it: what only reads runs side by side, what writes waits its turn.
public struct Model: Sendable {
  let handle: Handle

  init(_ handle: Handle) { self.handle = handle }

  /// New weights from a configuration and a seed; equal ones give equal weights.
  ///
  /// - Throws: ``Status/outOfMemory``, ``Status/limit``, ``Status/unsupported``.
  public init(
    _ configuration: Configuration, seed: UInt64 = 0, in context: Context
  ) throws(NestedError) {
    handle = try unsafe context.handle.making(nested_model_release) { context, out in
      unsafe configuration.handle.use { unsafe nested_model_create(context, $0, seed, out) }
    }
  }

  /// An independent copy.
  public func clone() throws(NestedError) -> Model {
    unsafe Model(try handle.making(nested_model_release) { unsafe nested_model_clone($0, $1) })
  }

  /// The architecture.
  public var configuration: Configuration {
    get throws(NestedError) {
      try unsafe Configuration(
        handle.making(nested_config_release) { unsafe nested_model_get_config($0, $1) })
    }
  }

  /// What a model is for.
  public enum Task: Hashable, Sendable {
    /// "lm": the next token.
    case languageModel
    /// "classify": a class for a row or a position.
    case classify
    /// "regress": numbers for a row or a position.
    case regress
  }

  /// Sizes and state of a model.
  public struct Info: Hashable, Sendable {
    /// What it is for.
    public let task: Task
    /// Number of token ids, V; 0 = it reads vectors.
    public let vocab: Int
    /// Numbers in an input vector, or 0.
    public let inputs: Int
    /// Numbers in an answer: V, classes or outputs.
    public let outputs: Int
    /// Width, D.
    public let dModel: Int
    /// Blocks, L.
    public let layers: Int
    /// CMS levels of each block, or 0.
    public let levels: Int
    /// Named tensors.
    public let tensors: Int
    /// Numbers in all tensors.
    public let parameters: Int
    /// Bytes of all tensors.
    public let weightBytes: Int
    /// Grows with each change of the weights.
    public let version: UInt64
    /// Hash of the canonical configuration; what has another does not fit together.
    public let fingerprint: UInt64
  }

  /// Sizes and state.
  public var info: Info {
    get throws(NestedError) {
      var record = nested_model_info.stamped()
      try check(unsafe handle.use { unsafe nested_model_get_info($0, &record) })
      let task: Task =
        switch Int(record.task) {
        case Int(NESTED_TASK_CLASSIFY): .classify
        case Int(NESTED_TASK_REGRESS): .regress
        default: .languageModel
        }
      return Info(
        task: task, vocab: Int(record.vocab), inputs: Int(record.n_inputs),
        outputs: Int(record.n_outputs), dModel: Int(record.d_model), layers: Int(record.n_layers),
        levels: Int(record.n_levels), tensors: Int(record.n_tensors),
        parameters: Int(record.n_params), weightBytes: Int(record.weight_bytes),
        version: record.version, fingerprint: record.fingerprint)
    }
  }
}
