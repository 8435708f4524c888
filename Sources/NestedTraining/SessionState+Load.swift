package import NestedBase
package import NestedCheckpoint
import NestedLearning
package import NestedModels
package import NestedTensor

/// Reads what `SessionState+File.swift` writes, and believes nothing of it unchecked.
extension SessionState {
  package init(model: Model, bytes: [UInt8]) throws(NestedError) {
    try self.init(model: model, file: try SafetensorsFile(bytes: bytes))
  }

  init(model: Model, file: SafetensorsFile) throws(NestedError) {
    try file.identify(as: SessionState.identity)
    guard
      file.metadata(SessionState.fingerprintKey)
        == String(model.configuration.fingerprint, radix: 16)
    else {
      throw NestedError(
        .mismatch, "[session] the file belongs to a model of another configuration",
        place: SessionState.fingerprintKey)
    }
    let weights = file.metadata(SessionState.weightsKey)
    guard weights == nil || weights == model.weightsHash else {
      throw NestedError(
        .mismatch, "[session] the file is what a session learnt on a model of other weights",
        place: SessionState.weightsKey)
    }
    try file.verifyChecksum()
    func corrupt(_ place: String) -> NestedError {
      NestedError(.corrupt, "[session] a value that no session has written", place: place)
    }
    var seen: [Bool] = []
    let classes = model.configuration.classes
    if model.configuration.task == .classify, file.record(named: "labels.seen") != nil || classes > 0 {
      seen = try file.uint8s("labels.seen", atMost: 1 << 24).map { $0 != 0 }
      guard seen.count >= classes, seen.prefix(classes).allSatisfy({ $0 }), seen.count == classes || seen.last == true
      else { throw corrupt("labels.seen") }
    }
    let outputs = model.configuration.task == .classify ? seen.count : model.configuration.outputCount
    let table = LevelTable(model.configuration, model.layout, outputs: outputs)
    let vocab = model.configuration.vocab
    let clock = try file.int64s("clock", atMost: 3)
    guard clock.count == 3, (0...Int64(1) << 53).contains(clock[0]),
      let mode = LearnMode(rawValue: Int32(truncatingIfNeeded: clock[1]))
    else { throw corrupt("clock") }
    try self.init(
      model: model, learn: mode, seed: UInt64(bitPattern: clock[2]), levels: table.slots.count)
    position = Int(clock[0])
    try setOutputs(seen, outputs)
    if model.configuration.hasLabels {
      let count = try file.int64s("taught", atMost: 1)
      guard count.count == 1, (0...clock[0]).contains(count[0]) else { throw corrupt("taught") }
      taught = Int(count[0])
    }

    func read(_ name: String, _ count: Int) throws(NestedError) -> Storage? {
      guard file.record(named: name) != nil else { return nil }
      let record = try file.record(named: name, shape: [count])
      let storage = try Storage(count: count, budget: model.runtime.budget)
      try file.readFloats(record, into: storage.floats)
      return storage
    }
    func tokens(_ name: String, atMost limit: Int) throws(NestedError) -> [Int32] {
      let values = try file.int32s(name, atMost: limit)
      guard values.allSatisfy({ $0 >= 0 && Int($0) < vocab }) else { throw corrupt(name) }
      return values
    }
    if weights == nil {
      guard let recurrent = try read("recurrent", model.network.stateSize),
        let output = try read("output", outputs)
      else { throw corrupt("recurrent") }
      guard model.network.isValidState(recurrent.floats, position: streamPosition) else { throw corrupt("recurrent") }
      self.recurrent = recurrent
      let kept = model.network.rowsNeeded(streamPosition)
      if model.network.rowSize > 0 && kept > 0 {
        guard let rows = try read("rows", kept * model.network.rowSize) else { throw corrupt("rows") }
        self.rows = rows
        firstRow = streamPosition - kept
      }
      self.output = output
      history = try tokens("history", atMost: 2 * SessionState.historyLimit)
      guard history.count <= position,
        position == 0 || !history.isEmpty || model.configuration.hasLabels
      else { throw corrupt("history") }

      if let start = try read("segment.recurrent", model.network.stateSize) {
        guard !model.configuration.hasLabels else { throw corrupt("segment.recurrent") }  // such a stream has no targets
        segmentTokens = try tokens("segment.tokens", atMost: model.configuration.segment)
        segmentSampled = try file.uint8s("segment.sampled", atMost: model.configuration.segment).map { $0 != 0 }
        let first = position - segmentTokens.count
        guard segmentSampled.count == segmentTokens.count, first >= 0, !segmentTokens.isEmpty,
          table.clock.segmentEnd(after: first) >= position,
          model.network.isValidState(start.floats, position: first)
        else { throw corrupt("segment.tokens") }
        segmentStart = start
      }
    } else if position != 0 {
      throw corrupt("clock")
    }

    let counters = try file.int64s("levels.counters", atMost: 6 * levels.count)
    let numbers = try file.doubles("levels.numbers", atMost: 3 * levels.count)
    guard counters.count == 6 * levels.count, numbers.count == 3 * levels.count,
      counters.allSatisfy({ (-1...Int64(1) << 53).contains($0) }), numbers.allSatisfy(\.isFinite)
    else { throw corrupt("levels.counters") }
    for (i, name) in names.enumerated() {
      let slot = table.slots[i]
      var level = LevelState()
      level.pendingTargets = Int(counters[6 * i])
      level.steps = Int(counters[6 * i + 1])
      level.updates = Int(counters[6 * i + 2])
      level.skipped = Int(counters[6 * i + 3])
      level.lastUpdate = Int(counters[6 * i + 4])
      level.frozen = counters[6 * i + 5] != 0
      level.lastGradientNorm = numbers[3 * i]
      level.lastUpdateNorm = numbers[3 * i + 1]
      level.learningRateScale = numbers[3 * i + 2]
      level.online = try read(name + ".weights", slot.count)
      level.pending = try read(name + ".pending", slot.count + slot.inputCount)
      level.optimizer = try read(name + ".optimizer", slot.optimizer.slots.count * slot.count)
      guard level.pendingTargets == 0 || level.pending != nil, level.pendingTargets >= 0, level.steps >= 0,
        level.updates >= 0, level.skipped >= 0, level.steps == 0 || level.optimizer != nil,
        slot.count == slot.modelCount || level.online != nil
      else { throw corrupt(name) }
      levels[i] = level
    }
  }
}

extension Session {
  package static func load(
    model: Model, path: FilePath, control: RunControl
  ) throws(NestedError) -> Session {
    try control.report("load", 0, 1, .nan)
    let session = Session(model: model, state: try SessionState(model: model, file: try SafetensorsFile(path: path)))
    try control.report("load", 1, 1, .nan)
    return session
  }
}
