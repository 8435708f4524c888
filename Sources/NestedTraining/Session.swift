package import NestedBase
package import NestedModels
import NestedTensor

/// One stream through a model: it reads tokens, predicts the next, and goes on learning (SPEC 3, "Modes of a session").
///
/// A session owns its state and shares the model's weights read-only; sessions of one model run in parallel. One call at
/// a time per session.
package final class Session {
  package let model: Model
  /// Made again when the head grows.
  var table: LevelTable
  var state: SessionState

  /// Weights as this session sees them: the model's, with its own levels in their place. Made again when the
  /// model or a level has changed.
  private var parameters: Parameters?
  private var parametersVersion: UInt64 = 0
  /// Panels of the online levels' matrices, by slot and entry.
  private var panels: [[Storage?]]
  /// Levels that have changed since their panels were packed.
  private var stale: [Bool]
  var sampler: Sampler?
  /// Told of every step before a level makes it, with its summed gradient and the norm of that.
  var willStep: ((_ index: Int, _ gradient: Storage, _ norm: Double) throws(NestedError) -> Void)?

  package init(model: Model, learn: LearnMode, seed: UInt64) throws(NestedError) {
    self.model = model
    table = LevelTable(model.configuration, model.layout, outputs: model.configuration.outputCount)
    panels = [[Storage?]](repeating: [], count: table.slots.count)
    stale = [Bool](repeating: true, count: table.slots.count)
    state = try SessionState(model: model, learn: learn, seed: seed, levels: table.slots.count)
  }

  init(model: Model, state: SessionState) {
    self.model = model
    table = LevelTable(model.configuration, model.layout, outputs: state.outputs)
    panels = [[Storage?]](repeating: [], count: table.slots.count)
    stale = [Bool](repeating: true, count: table.slots.count)
    self.state = state
  }

  package var learn: LearnMode { state.learn }
  package var position: Int { state.position }
  package var seed: UInt64 { state.seed }
  /// Numbers that come out for a position.
  package var outputs: Int { state.outputs }
  package var updates: Int { state.levels.reduce(0) { $0 + $1.updates } }
  package var skipped: Int { state.levels.reduce(0) { $0 + $1.skipped } }
  /// Bytes of memory that are this session's own.
  package var stateBytes: Int {
    let packed = panels.joined().reduce(0) { $0 + ($1?.count ?? 0) }
    return 4 * (state.floatCount + packed)
  }

  // MARK: Copies

  /// An independent session in the same state; storages are copied when one of the two moves on.
  package func fork() throws(NestedError) -> Session { Session(model: model, state: state) }
  package func snapshot() throws(NestedError) -> SessionState { state }

  /// Into the snapshot's state, mode and seed included. `mismatch` for one of another architecture.
  package func restore(_ snapshot: SessionState) throws(NestedError) {
    guard snapshot.model.configuration.fingerprint == model.configuration.fingerprint else {
      throw NestedError(.mismatch, "[session] the snapshot belongs to another configuration")
    }
    adopt(snapshot)
  }

  /// Back to the state after creation, in the present mode.
  package func reset() throws(NestedError) {
    let fresh = try SessionState(
      model: model, learn: state.learn, seed: state.seed, levels: table.slots.count)
    adopt(fresh)
  }

  /// Another state in the place of this one.
  func adopt(_ other: SessionState) {
    forgetParameters()
    if other.outputs != state.outputs {
      table = LevelTable(model.configuration, model.layout, outputs: other.outputs)
    }
    state = other
  }

  /// Losses of the present segment whose target is known count; what comes after counts from the token at which
  /// learning is switched on again.
  package func setLearn(_ mode: LearnMode) throws(NestedError) {
    if mode == state.learn { return }
    if state.learn == .on { try closeSegmentNow() }
    state.learn = mode
  }

  // MARK: Weights

  /// Before a level changes, or all of them (nil).
  func forgetParameters(_ index: Int? = nil) {
    parameters = nil
    if let index { stale[index] = true } else { for i in stale.indices { stale[i] = true } }
  }

  /// Runs `body` with the weights that are in force, under the model's read lock.
  func withParameters<R>(
    _ engine: Engine, _ body: (Parameters) throws(NestedError) -> R
  ) throws(NestedError) -> R {
    try model.withParameters { (base, version) throws(NestedError) in
      let current: Parameters
      if let parameters, parametersVersion == version {
        current = parameters
      } else {
        current = try overlay(base, engine)
        parameters = current
        parametersVersion = version
      }
      return try body(current)
    }
  }

  /// The model's parameters with this session's levels.
  private func overlay(_ base: Parameters, _ engine: Engine) throws(NestedError) -> Parameters {
    var result = base
    for (index, slot) in table.slots.enumerated() {
      guard let online = state.levels[index].online else { continue }
      if panels[index].isEmpty {
        panels[index] = [Storage?](repeating: nil, count: slot.entries.count)
      }
      for i in slot.entries {
        let entry = model.layout.entries[i]
        var tensor = Tensor(slot.shape(of: entry), online, offset: entry.offset - slot.offset)
        if base[i].packed != nil {
          let k = i - slot.entries.lowerBound
          let storage: Storage
          let size = engine.packedCount(tensor.shape)
          if let kept = panels[index][k], kept.count == size {
            storage = kept
            if stale[index] { engine.pack(tensor, into: storage.floats) }
          } else {
            storage = try Storage(count: size, budget: model.runtime.budget)
            panels[index][k] = storage
            engine.pack(tensor, into: storage.floats)
          }
          tensor.packed = storage
        }
        result[i] = tensor
      }
      stale[index] = false
    }
    return result
  }
}
