internal import CNested

/// State of one CMS level of one block.
public struct Level: Hashable, Sendable {
  /// The block.
  public let layer: Int
  /// 0 is the fastest.
  public let level: Int
  /// It never updates online.
  public let isFrozen: Bool
  /// It updates once per so many tokens; 0 = never.
  public let chunk: Int
  /// Position of the last update, or `nil`.
  public let lastUpdate: Int?
  /// Position of the next update, or `nil` = never.
  public let nextUpdate: Int?
  /// Updates made.
  public let updates: Int
  /// Updates dropped because they were not finite.
  public let skipped: Int
  /// Numbers in its weights.
  public let parameters: Int
  /// In effect: the configured one times the factor of
  /// ``Session/scaleLearningRate(_:layer:level:)``.
  public let learningRate: Double
  /// Norm of the online weights.
  public let weightNorm: Double
  /// Distance from the model's weights: what the session has learnt.
  public let deltaNorm: Double
  /// Norm of the gradient of the last update, before clipping.
  public let lastGradientNorm: Double
  /// Of the change of the weights at the last update.
  public let lastUpdateNorm: Double
  /// Norm of the gradient collected since the last update.
  public let pendingNorm: Double
}

extension Session {
  /// One level of one block.
  ///
  /// - Throws: ``Status/range`` when there is none.
  public func level(layer: Int, level: Int) throws(NestedError) -> Level {
    var record = nested_level.stamped()
    try check(
      unsafe handle.use {
        unsafe nested_session_level($0, Int32(clamping: layer), Int32(clamping: level), &record)
      })
    return Level(
      layer: Int(record.layer), level: Int(record.level), isFrozen: record.frozen != 0,
      chunk: Int(record.chunk), lastUpdate: record.last_update < 0 ? nil : Int(record.last_update),
      nextUpdate: record.next_update < 0 ? nil : Int(record.next_update),
      updates: Int(record.n_updates), skipped: Int(record.n_skipped),
      parameters: Int(record.n_params), learningRate: record.lr, weightNorm: record.weight_norm,
      deltaNorm: record.delta_norm, lastGradientNorm: record.last_grad_norm,
      lastUpdateNorm: record.last_update_norm, pendingNorm: record.pending_norm)
  }

  /// All levels, block by block, the fastest first; the head of the tasks "classify" and "regress"
  /// is last, as level 0 of one more block.
  public var levels: [Level] {
    get throws(NestedError) {
      let info = try model.info
      var result: [Level] = []
      for layer in 0..<info.layers {
        for level in 0..<info.levels { result.append(try self.level(layer: layer, level: level)) }
      }
      if info.task != .languageModel { result.append(try level(layer: info.layers, level: 0)) }
      return result
    }
  }

  /// Stops levels from learning; `nil` = all blocks, or all levels.
  ///
  /// - Throws: ``Status/range`` when there is no such block or level; so do the functions below.
  public func freeze(layer: Int? = nil, level: Int? = nil) throws(NestedError) {
    try control(layer, level) { $0.frozen = 1 }
  }

  /// Undoes ``freeze(layer:level:)``.
  public func thaw(layer: Int? = nil, level: Int? = nil) throws(NestedError) {
    try control(layer, level) { $0.frozen = -1 }
  }

  /// Sets the factor on the configured learning rate of levels, above 0.
  public func scaleLearningRate(
    _ factor: Double, layer: Int? = nil, level: Int? = nil
  ) throws(NestedError) {
    guard factor != 0 else {
      throw NestedError(.range, "the factor is above 0; freeze() stops a level", place: "factor")
    }
    try control(layer, level) { $0.lr_scale = factor }
  }

  /// Applies collected gradients now instead of at the end of the period; the clock goes on as
  /// before.
  public func flushLevels(layer: Int? = nil, level: Int? = nil) throws(NestedError) {
    let (layer, level) = try (index(layer, "layer"), index(level, "level"))
    try check(unsafe handle.use { unsafe nested_session_level_flush($0, layer, level) })
  }

  /// Returns levels to the model's weights: forgets what they have learnt.
  public func resetLevels(layer: Int? = nil, level: Int? = nil) throws(NestedError) {
    let (layer, level) = try (index(layer, "layer"), index(level, "level"))
    try check(unsafe handle.use { unsafe nested_session_level_reset($0, layer, level) })
  }

  private func control(
    _ layer: Int?, _ level: Int?, _ change: (inout nested_level_control) -> Void
  ) throws(NestedError) {
    var record = nested_level_control.stamped()
    change(&record)
    let (layer, level) = try (index(layer, "layer"), index(level, "level"))
    try check(
      unsafe handle.use { unsafe nested_session_level_control($0, layer, level, &record) })
  }

  /// -1 means all to the library, and nothing here.
  private func index(_ index: Int?, _ place: String) throws(NestedError) -> Int32 {
    guard let index else { return -1 }
    return Int32(clamping: try count(index, place: place, function: "levels"))
  }
}
