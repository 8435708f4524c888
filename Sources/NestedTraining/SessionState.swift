import NestedBase
package import NestedModels
import NestedTensor

/// What a session does with what it reads. Raw values are those of the C header.
package enum LearnMode: Int32, Sendable {
  case memory = 0, off = 1, on = 2
}

/// One level of one block in a session.
struct LevelState {
  /// The level's parameters in layout order; nil as long as they are the model's.
  var online: Storage?
  /// Σ of the gradients since the last step; nil before the first.
  var pending: Storage?
  var pendingTargets = 0
  /// The optimizer's slots, [slots, count]; nil before the first step.
  var optimizer: Storage?
  var steps = 0
  var updates = 0, skipped = 0
  var lastUpdate = -1
  var lastGradientNorm = 0.0, lastUpdateNorm = 0.0
  var frozen = false
  var learningRateScale = 1.0
}

/// Everything a stream is: recurrent state, online levels, clock, and the part of the present segment whose losses are
/// not yet known. A value: a copy shares its storages until one of the two moves on.
package struct SessionState {
  package let model: Model
  var learn: LearnMode
  package internal(set) var seed: UInt64
  /// Tokens or vectors consumed: the clock i.
  package internal(set) var position = 0
  /// Recurrent state after `position` tokens (`Network.stateSize`).
  var recurrent: Storage
  /// What the layers keep of every token, such as keys and values (`Network.rowSize`); nil before the first token and
  /// for kinds that keep nothing. Only rows before `position` count, so a pass that fails has changed nothing.
  var rows: Storage?
  /// The position of the first token in `rows`.
  var firstRow = 0
  /// Outputs of the last position read [outputs]; undefined before the first.
  var output: Storage
  /// Numbers that come out for a position: grows with the labels of a classifier.
  var outputs: Int
  /// Of a classifier, which labels have been seen: those of the model, and what `teach` has met. The others take no part
  /// in the softmax. Empty for the other tasks.
  var seen: [Bool]
  /// Positions of the clock that were rows of `teach`: the stream stands at `position` - `taught`.
  var taught = 0

  /// The present segment, with learning on: the recurrent state before it, its tokens, and which of them were sampled
  /// (no loss is taken for those).
  var segmentStart: Storage?
  var segmentTokens: [Int32] = []
  var segmentSampled: [Bool] = []

  var levels: [LevelState]
  /// The last tokens, at most `historyLimit`: what a repetition penalty looks at.
  var history: [Int32] = []
  static let historyLimit = 1024

  /// A fresh stream.
  init(model: Model, learn: LearnMode, seed: UInt64, levels: Int) throws(NestedError) {
    self.model = model
    self.learn = learn
    self.seed = seed
    let budget = model.runtime.budget
    recurrent = try Storage(count: model.network.stateSize, budget: budget)
    outputs = model.configuration.outputCount
    output = try Storage(count: outputs, budget: budget)
    output.floats.fill(0, count: outputs)
    seen = [Bool](repeating: true, count: model.configuration.task == .classify ? outputs : 0)
    self.levels = [LevelState](repeating: LevelState(), count: levels)
    history.reserveCapacity(2 * SessionState.historyLimit)
    segmentTokens.reserveCapacity(model.configuration.segment)
    segmentSampled.reserveCapacity(model.configuration.segment)
    if !model.runtime.computes { return }
    let (network, floats) = (model.network, recurrent.floats)
    model.withWeights { (_: Floats) in network.initialize(floats, model.storageParameters()) }
  }

  /// Tokens of the stream, which rows that were taught are not part of.
  var streamPosition: Int { position - taught }

  /// Floats that are this state's own.
  var floatCount: Int {
    var count = recurrent.count + output.count + (rows?.count ?? 0) + (segmentStart?.count ?? 0)
    for level in levels {
      count += (level.online?.count ?? 0) + (level.pending?.count ?? 0) + (level.optimizer?.count ?? 0)
    }
    return count
  }

  /// As many outputs as a classifier knows labels, and room for them; the last output is dropped.
  mutating func setOutputs(_ seen: [Bool], _ outputs: Int) throws(NestedError) {
    output = try Storage(count: outputs, budget: model.runtime.budget)
    output.floats.fill(0, count: outputs)
    (self.seen, self.outputs) = (seen, outputs)
  }

  mutating func remember(_ token: Int32) {
    if history.count >= 2 * SessionState.historyLimit {
      history.removeFirst(SessionState.historyLimit)
    }
    history.append(token)
  }
}

extension SessionState {
  /// Tokens that `rows` has room for.
  var rowCapacity: Int { model.network.rowSize > 0 ? (rows?.count ?? 0) / model.network.rowSize : 0 }

  /// Room for the rows of `count` more tokens, this state's own. Grows so that a row is moved a few times only, however
  /// the stream is cut.
  mutating func reserveRows(_ count: Int) throws(NestedError) {
    let network = model.network
    guard network.rowSize > 0 else { return }
    if streamPosition + count - firstRow <= rowCapacity {
      _ = try Storage.own(&rows, count: 0, budget: model.runtime.budget, fill: { _ in })
      return
    }
    let kept = network.rowsNeeded(streamPosition)
    var capacity = 64
    while capacity < kept + max(count, kept / 2) { capacity *= 2 }
    rows = try lastRows(kept, capacity)
    firstRow = streamPosition - kept
  }

  /// The rows that are ever looked at again: what a file holds.
  func packedRows() throws(NestedError) -> Storage? {
    let kept = model.network.rowsNeeded(streamPosition)
    guard model.network.rowSize > 0 && kept > 0 else { return nil }
    return try lastRows(kept, kept)
  }

  /// A copy of the last `count` rows in room for `capacity`.
  private func lastRows(_ count: Int, _ capacity: Int) throws(NestedError) -> Storage {
    let network = model.network
    let copy = try Storage(count: capacity * network.rowSize, budget: model.runtime.budget)
    if let rows, model.runtime.computes {
      network.copyRows(
        count, from: (rows.floats, rowCapacity), at: streamPosition - count - firstRow,
        to: (copy.floats, capacity), at: 0)
    }
    return copy
  }
}

extension Storage {
  /// `storage` if nobody else holds it, else a copy: to be called before a change.
  static func makeUnique(_ storage: inout Storage) throws(NestedError) {
    if !isKnownUniquelyReferenced(&storage) { storage = try storage.copy() }
  }

  /// `storage` for a change: its own copy if others hold it, and a new one of `count` floats where there is none, with
  /// what `fill` puts into it. On failure `storage` is as before.
  static func own(
    _ storage: inout Storage?, count: Int, budget: MemoryBudget, fill: (Floats) -> Void
  ) throws(NestedError) -> Storage {
    if var held = storage {
      storage = nil
      defer { storage = held }
      try makeUnique(&held)
      return held
    }
    let made = try Storage(count: count, budget: budget)
    if budget.room == nil { fill(made.floats) }
    storage = made
    return made
  }
}
