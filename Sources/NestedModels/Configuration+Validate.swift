package import NestedBase
internal import NestedCheckpoint
internal import NestedLearning

extension ModelConfiguration {
  /// The rules that concern several keys, then what this build has. Throws `.config` or
  /// `.unsupported` with the JSON pointer. A configuration that passes can be built.
  package func validate() throws(NestedError) {
    guard kind.isBuilt else {
      throw ConfigurationError.unsupported("kind \(kind.rawValue)", "/kind")
    }
    try validateTask()
    try validateSizes()
    switch kind {
    case .cms: break
    case .hope: try validateMemory()
    case .titans: if titans.mode != .lmm { try validateAttention() }
    case .transformer, .hopeAttention, .retnet, .tttLinear, .tttMLP: try validateAttention()
    default: break
    }
    if kind.hasLevels { try validateLevels() }
  }

  /// What is asked of the model, and how many numbers answer it.
  private func validateTask() throws(NestedError) {
    if task == .lm && kind.readsVectors {
      throw ConfigurationError.invalid("kind \(kind.rawValue) has no next token: expected classify or regress", "/task")
    }
    if task == .regress && outputs == 0 {
      throw ConfigurationError.invalid("task regress: outputs is required", "/outputs")
    }
    if task != .regress && outputs != 0 {
      throw ConfigurationError.invalid("outputs has no meaning for task \(task.rawValue)", "/outputs")
    }
    if task != .classify && classes != 0 {
      throw ConfigurationError.invalid("classes has no meaning for task \(task.rawValue)", "/classes")
    }
    if hasLabels && kind.hasLevels && cms.meta != .none {
      throw ConfigurationError.unsupported("meta \(cms.meta.rawValue) with task \(task.rawValue)", "/cms/meta")
    }
  }

  private func validateSizes() throws(NestedError) {
    if kind.readsVectors {
      if vocab != 0 {
        throw ConfigurationError.invalid("kind \(kind.rawValue) reads vectors: vocab must be 0", "/vocab")
      }
      if inputs == 0 {
        throw ConfigurationError.invalid("kind \(kind.rawValue) reads vectors: inputs is required", "/inputs")
      }
      return
    }
    if vocab == 0 {
      throw ConfigurationError.invalid("kind \(kind.rawValue) reads tokens: vocab is required", "/vocab")
    }
    if inputs != 0 {
      throw ConfigurationError.invalid("kind \(kind.rawValue) reads tokens: inputs has no meaning", "/inputs")
    }
    guard headDim * nHeads == dModel else {
      throw ConfigurationError.invalid(
        "expected n_heads · head_dim = d_model, got \(nHeads) · \(headDim) and \(dModel)",
        "/n_heads")
    }
    guard nHeads % nKVHeads == 0 else {
      throw ConfigurationError.invalid(
        "expected n_heads to be a multiple of n_kv_heads, got \(nHeads) and \(nKVHeads)",
        "/n_kv_heads")
    }
  }

  private func validateAttention() throws(NestedError) {
    let scaling = ropeScaling
    if scaling.type == .llama3 && scaling.highFrequencyFactor <= scaling.lowFrequencyFactor {
      throw ConfigurationError.invalid(
        "expected more than low_freq_factor \(scaling.lowFrequencyFactor), got \(scaling.highFrequencyFactor)",
        "/rope_scaling/high_freq_factor")
    }
    if headDim % 2 != 0 {
      throw ConfigurationError.invalid(
        "rotary positions turn channels in pairs: expected an even head_dim, got \(headDim)", "/head_dim")
    }
  }

  private func validateMemory() throws(NestedError) {
    if memory.adapt.contains(.q) && !memory.adaptiveQ {
      throw ConfigurationError.invalid("there is no memory q without adaptive_q", "/memory/adapt")
    }
  }

  /// SPEC 3: each period is a multiple of the one before, levels without one come last, and a
  /// period of the fastest level is a whole number of segments.
  private func validateLevels() throws(NestedError) {
    guard let fastest = cms.levels.first else {
      throw ConfigurationError.invalid("expected at least one level", "/cms/levels")
    }
    for (i, level) in cms.levels.enumerated() {
      let place = "/cms/levels/\(i)"
      guard cms.meta != .exact || level.chunk == 0 || level.optimizer.isLinear else {
        throw ConfigurationError.invalid(
          "meta exact differentiates steps of sgd, momentum and nesterov, not of \(level.optimizer.rawValue)",
          "\(place)/optimizer")
      }
      guard i > 0, level.chunk > 0 else { continue }
      let before = cms.levels[i - 1].chunk
      guard before > 0 else {
        throw ConfigurationError.invalid(
          "a level that learns online cannot follow one that does not", "\(place)/chunk")
      }
      guard level.chunk % before == 0 else {
        throw ConfigurationError.invalid(
          "expected a multiple of the faster level's \(before), got \(level.chunk)",
          "\(place)/chunk")
      }
    }
    guard fastest.chunk == 0 || fastest.chunk % min(segment, fastest.chunk) == 0 else {
      throw ConfigurationError.invalid(
        "expected segment to divide the fastest level's chunk \(fastest.chunk), got \(segment)",
        "/segment")
    }
  }
}
