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
  /// Tokens consumed: the clock i.
  package internal(set) var position = 0
  /// Recurrent state after `position` tokens (Hope's layout).
  var recurrent: Storage
  /// Logits of the last token [V]; undefined at position 0.
  var output: Storage

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
    recurrent = try Storage(count: model.hope.stateSize, budget: budget)
    output = try Storage(count: model.configuration.vocab, budget: budget)
    output.floats.fill(0, count: model.configuration.vocab)
    self.levels = [LevelState](repeating: LevelState(), count: levels)
    history.reserveCapacity(2 * SessionState.historyLimit)
    segmentTokens.reserveCapacity(model.configuration.segment)
    segmentSampled.reserveCapacity(model.configuration.segment)
    let (hope, floats) = (model.hope, recurrent.floats)
    model.withWeights { (_: Floats) in hope.initialize(floats, model.storageParameters()) }
  }

  /// Floats that are this state's own.
  var floatCount: Int {
    var count = recurrent.count + output.count + (segmentStart?.count ?? 0)
    for level in levels {
      count += (level.online?.count ?? 0) + (level.pending?.count ?? 0) + (level.optimizer?.count ?? 0)
    }
    return count
  }

  mutating func remember(_ token: Int32) {
    if history.count >= 2 * SessionState.historyLimit {
      history.removeFirst(SessionState.historyLimit)
    }
    history.append(token)
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
    fill(made.floats)
    storage = made
    return made
  }
}
