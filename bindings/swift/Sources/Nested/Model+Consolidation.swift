internal import CNested

extension Model {
  /// A new model: these weights and the weighted mean of what the sessions' CMS levels have learnt.
  /// The sessions and this model stay as they are.
  ///
  /// - Parameters:
  ///   - sessions: At least one, all of this architecture.
  ///   - weights: One for each session, >= 0, normalised; `nil` = equal.
  ///   - levels: The levels to include, 0 the fastest, below 32, and the number of levels for the head
  ///     of the tasks "classify" and "regress"; `nil` = all.
  ///   - strength: The fraction of what was learnt that moves.
  ///   - maxNorm: Bound of the change of each tensor; 0 = none.
  ///   - run: Progress and cancelling.
  /// - Throws: ``Status/mismatch`` for a session of another configuration; ``Status/argument``,
  ///   ``Status/range`` and ``Status/shape`` for options that are not allowed.
  public func consolidating(
    _ sessions: [Session], weights: [Double]? = nil, levels: [Int]? = nil, strength: Double = 1,
    maxNorm: Double = 0, run: Run = Run()
  ) throws(NestedError) -> Model {
    guard weights == nil || weights?.count == sessions.count else {
      throw NestedError(.shape, "each session needs one weight", place: "weights")
    }
    guard strength != 0 else {
      throw NestedError(.range, "a strength of 0 moves nothing", place: "strength")
    }
    var options = unsafe nested_consolidation.stamped()
    unsafe options.strength = strength
    unsafe options.max_norm = maxNorm
    unsafe options.level_mask = try levels.map(levelMask) ?? 0
    return unsafe Model(
      try handle.making(nested_model_release, run: run) { model, run, out in
        unsafe (weights ?? []).withUnsafeBufferPointer { values in
          unsafe options.session_weights = weights == nil ? nil : values.baseAddress
          return unsafe withTickets(of: sessions) {
            unsafe nested_model_consolidate(
              model, $0.baseAddress, $0.count, &options, run, out)
          }
        }
      })
  }
}

private func levelMask(_ levels: [Int]) throws(NestedError) -> UInt32 {
  var mask: UInt32 = 0
  for level in levels {
    guard 0..<32 ~= level else {
      throw NestedError(
        .range, "level \(level) is not in 0 ..< 32", place: "levels", function: "consolidating")
    }
    mask |= 1 << UInt32(level)
  }
  guard mask != 0 else {
    throw NestedError(.argument, "no levels", place: "levels", function: "consolidating")
  }
  return mask
}
