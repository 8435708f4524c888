package import NestedBase
package import NestedCheckpoint
import NestedLearning
import NestedModels
package import NestedTensor

/// A session in one safetensors file, without the model's weights. Whole: save, load, continue gives the bits of
/// continuing. As a delta: what its levels have learnt, alone, for a model of the same weights.
///
///     clock [3]: position, learn mode, seed (I64)
///     recurrent [n]   rows [r]   output [V]   history [h]                      the stream; not in a delta
///     segment.recurrent [n]   segment.tokens [s]   segment.sampled [s]         with learning on; not in a delta
///     taught [1] (I64)                                      tasks classify and regress
///     labels.seen [O] (U8)                                  task classify: also how many rows the head has
///     levels.counters [S, 6] (I64)   levels.numbers [S, 3] (F64)
///     levels.{layer}.{level}.{weights, pending, optimizer}                     what a level has of its own
///
/// S levels: those of the blocks, and behind them the head of a classifier or a regression as layer L, level 0.
extension SessionState {
  static let identity = FileIdentity("session", version: 1)
  static let fingerprintKey = "nested.fingerprint"
  /// The hash of the weights that a delta belongs to: only a delta has it.
  static let weightsKey = "nested.weights"

  /// `rows` are borrowed until the file is written.
  private func writer(_ rows: Storage?) throws(NestedError) -> SafetensorsWriter {
    var writer = SafetensorsWriter(SessionState.identity, metadata: [fingerprint])
    try addClock(to: &writer)
    try add("recurrent", recurrent, to: &writer)
    try add("rows", rows, to: &writer)
    try add("output", output, to: &writer)
    try writer.add("history", shape: [history.count], history)
    if let segmentStart, !segmentTokens.isEmpty {
      try add("segment.recurrent", segmentStart, to: &writer)
      try writer.add("segment.tokens", shape: [segmentTokens.count], segmentTokens)
      try writer.add(
        "segment.sampled", shape: [segmentTokens.count], segmentSampled.map { $0 ? UInt8(1) : 0 })
    }
    try addLevels(to: &writer)
    return writer
  }

  private func deltaWriter() throws(NestedError) -> SafetensorsWriter {
    let fresh = try learnt()
    var writer = SafetensorsWriter(
      SessionState.identity,
      metadata: [fingerprint, (SessionState.weightsKey, model.weightsHash)])
    try fresh.addClock(to: &writer)
    try fresh.addLevels(to: &writer)
    return writer
  }

  /// A fresh stream whose levels have this one's weights, and no gradient or optimizer state.
  private func learnt() throws(NestedError) -> SessionState {
    var fresh = try SessionState(model: model, learn: learn, seed: seed, levels: levels.count)
    for (i, level) in levels.enumerated() {
      fresh.levels[i].online = level.online
      fresh.levels[i].updates = level.updates
      fresh.levels[i].skipped = level.skipped
      fresh.levels[i].frozen = level.frozen
      fresh.levels[i].learningRateScale = level.learningRateScale
    }
    try fresh.setOutputs(seen, outputs)
    return fresh
  }

  private var fingerprint: (key: String, value: String) {
    (SessionState.fingerprintKey, String(model.configuration.fingerprint, radix: 16))
  }

  private func add(
    _ name: String, _ storage: Storage?, to writer: inout SafetensorsWriter
  ) throws(NestedError) {
    guard let storage else { return }
    try writer.add(name, shape: [storage.count], storage.floats, count: storage.count)
  }

  private func addClock(to writer: inout SafetensorsWriter) throws(NestedError) {
    try writer.add(
      "clock", shape: [3], [Int64(position), Int64(learn.rawValue), Int64(bitPattern: seed)])
  }

  private func addLevels(to writer: inout SafetensorsWriter) throws(NestedError) {
    let hasLabels = model.configuration.hasLabels
    if hasLabels { try writer.add("taught", shape: [1], [Int64(taught)]) }
    if !seen.isEmpty { try writer.add("labels.seen", shape: [seen.count], seen.map { $0 ? UInt8(1) : 0 }) }
    var counters: [Int64] = []
    var numbers: [Double] = []
    for level in levels {
      counters += [
        level.pendingTargets, level.steps, level.updates, level.skipped, level.lastUpdate,
        level.frozen ? 1 : 0,
      ].map { Int64($0) }
      numbers += [level.lastGradientNorm, level.lastUpdateNorm, level.learningRateScale]
    }
    try writer.add("levels.counters", shape: [levels.count, 6], counters)
    try writer.add("levels.numbers", shape: [levels.count, 3], numbers)
    for (name, level) in zip(names, levels) {
      try add(name + ".weights", level.online, to: &writer)
      try add(name + ".pending", level.pending, to: &writer)
      try add(name + ".optimizer", level.optimizer, to: &writer)
    }
  }

  /// What the levels' tensors are called.
  var names: [String] {
    let count = model.configuration.levels.count
    let blocks = levels.count - (model.configuration.hasLabels ? 1 : 0)
    var names = (0..<blocks).map { "levels.\($0 / count).\($0 % count)" }
    if model.configuration.hasLabels { names.append("levels.\(model.configuration.blockCount).0") }
    return names
  }

  package func bytes(delta: Bool = false) throws(NestedError) -> [UInt8] {
    let rows = delta ? nil : try packedRows()
    return try withExtendedLifetime(rows) { () throws(NestedError) in
      try (delta ? deltaWriter() : writer(rows)).bytes()
    }
  }

  package func save(
    path: FilePath, delta: Bool = false, sync: Bool = true, control: RunControl
  ) throws(NestedError) {
    let rows = delta ? nil : try packedRows()
    try withExtendedLifetime(rows) { () throws(NestedError) in
      let writer = try delta ? deltaWriter() : writer(rows)
      try writer.write(to: path, sync: sync) { done, total throws(NestedError) in
        try control.report("save", done, total, .nan)
      }
    }
  }
}
