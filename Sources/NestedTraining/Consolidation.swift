package import NestedBase
package import NestedModels
package import NestedTensor

/// How sessions are merged into a model (SPEC 3, consolidation). The defaults take everything that
/// was learnt.
package struct ConsolidationOptions: Equatable, Sendable {
  /// Bit l = level l takes part, the bit behind the levels the head; 0 = all.
  package var levelMask: UInt32 = 0
  /// Fraction of the merged delta that moves; 0 = 1.
  package var strength = 0.0
  /// Bound of what is added to one tensor, as a norm; 0 = none.
  package var maxNorm = 0.0
  /// One per session, 0 or more, not all 0; normalised. nil = equal.
  package var weights: [Double]?

  package init() {}
}

/// A new model whose CMS levels have moved by what the sessions learnt:
///
///     W_new = W + strength · Σ_s w_s (W_s - W_0s)
///
/// with the w_s normalised and W_0s the weights of the session's own model, tensor by
/// tensor, what is added clipped to `maxNorm`. A row of a head that one side lacks counts as 0. Sums are in Double, in the order of the sessions.
/// Model and sessions stay as they are. `mismatch` when a session belongs to another architecture.
package func consolidate(
  model: Model, sessions: [Session], options: ConsolidationOptions, control: RunControl
) throws(NestedError) -> Model {
  let weights = try normalised(options.weights, count: sessions.count)
  let clocks = model.configuration.periods.count
  guard clocks >= 32 || options.levelMask >> UInt32(clocks) == 0 else {
    throw NestedError(
      .range, "[consolidate] the mask names a level that the model lacks, it has \(clocks)",
      place: "level_mask")
  }
  guard options.strength.isFinite, options.strength >= 0, options.maxNorm >= 0,
    options.maxNorm.isFinite
  else {
    throw NestedError(.range, "[consolidate] strength and max_norm must be finite and 0 or more")
  }
  for session in sessions {
    guard session.model.configuration.fingerprint == model.configuration.fingerprint else {
      throw NestedError(
        .mismatch, "[consolidate] a session belongs to a model of another configuration")
    }
  }
  let strength = options.strength == 0 ? 1 : options.strength
  func takesPart(_ entry: ParameterEntry) -> Bool {
    let bit = UInt32(clamping: max(0, entry.clock))
    return entry.clock >= 0 && (options.levelMask == 0 || bit < 32 && options.levelMask >> bit & 1 == 1)
  }
  let merged = try grown(model, by: model.layout.entries.filter(takesPart), sessions)
  let entries = merged.layout.entries.filter(takesPart)
  var delta = [Double](repeating: 0, count: entries.map(\.count).max() ?? 0)
  try merged.withMutableWeights { (w: Floats) throws(NestedError) in
    for (done, entry) in entries.enumerated() {
      try control.report("consolidate", done, entries.count, .nan)
      for i in 0..<entry.count { delta[i] = 0 }
      for (index, session) in sessions.enumerated() {
        guard let own = session.model.layout.index(of: entry.name) else { continue }
        try session.withOnlineWeights(session.model.layout.entries[own]) { (online, count, start, startCount) in
          for i in 0..<count {
            delta[i] += weights[index] * (Double(online[i]) - (i < startCount ? Double(start[i]) : 0))
          }
        }
      }
      move(w + entry.offset, delta, entry.count, strength, options.maxNorm)
    }
  }
  try control.report("consolidate", entries.count, entries.count, .nan)
  return merged
}

/// A copy of the model. A classifier has as many rows of the head as the session that knows most labels; the new ones are 0
/// and, like all rows of a model, count as seen.
private func grown(
  _ model: Model, by entries: [ParameterEntry], _ sessions: [Session]
) throws(NestedError) -> Model {
  let outputs = sessions.reduce(model.configuration.outputCount) { max($0, $1.outputs) }
  guard outputs > model.configuration.outputCount, entries.contains(where: { $0.name == "head.weight" }) else {
    return try model.clone()
  }
  var configuration = model.configuration
  configuration.classes = outputs
  let larger = try Model(runtime: model.runtime, configuration: configuration, seed: 0)
  let source = try model.clone()  // steady without a lock around the other model's
  try larger.withMutableWeights { (to: Floats) in
    source.withWeights { (from: Floats) in
      for (old, new) in zip(source.layout.entries, larger.layout.entries) {
        (to + new.offset).copy(from: from + old.offset, count: old.count)
        (to + (new.offset + old.count)).fill(0, count: new.count - old.count)
      }
    }
  }
  return larger
}

/// w += strength · delta, no longer than maxNorm.
private func move(
  _ w: Floats, _ delta: [Double], _ count: Int, _ strength: Double, _ maxNorm: Double
) {
  var squares = 0.0
  for i in 0..<count { squares += delta[i] * delta[i] }
  let norm = strength * squares.squareRoot()
  let factor = maxNorm > 0 && norm > maxNorm ? strength * (maxNorm / norm) : strength
  for i in 0..<count where delta[i] != 0 { w[i] = Float(Double(w[i]) + factor * delta[i]) }
}

/// Weights that sum to 1.
private func normalised(_ weights: [Double]?, count: Int) throws(NestedError) -> [Double] {
  guard count > 0 else {
    throw NestedError(.argument, "[consolidate] expected one session or more", place: "sessions")
  }
  guard let weights else { return [Double](repeating: 1 / Double(count), count: count) }
  let sum = weights.reduce(0, +)
  guard weights.count == count, weights.allSatisfy({ $0 >= 0 }), sum > 0, sum.isFinite else {
    throw NestedError(
      .range, "[consolidate] expected \(count) weights of 0 or more, not all 0",
      place: "session_weights")
  }
  return weights.map { $0 / sum }
}
