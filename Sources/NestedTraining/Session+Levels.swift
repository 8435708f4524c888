package import NestedBase
import NestedLearning
package import NestedModels
import NestedTensor

/// What can be seen of one level.
package struct LevelInfo: Equatable, Sendable {
  package var chunk = 0, parameters = 0
  package var frozen = false
  package var lastUpdate = -1, nextUpdate = -1  // positions, -1 = none
  package var updates = 0, skipped = 0
  package var learningRate = 0.0
  package var weightNorm = 0.0, deltaNorm = 0.0, pendingNorm = 0.0
  package var lastGradientNorm = 0.0, lastUpdateNorm = 0.0
}

extension Session {
  /// The head's layer is the one behind the last block.
  private func index(_ layer: Int, _ level: Int) -> Int { layer * table.levels + level }

  private func indices(_ layer: Int?, _ level: Int?) -> [Int] {
    table.slots.indices.filter {
      let slot = table.slots[$0]
      // The head is no level of a block: all blocks' level 0 are others.
      if slot.isHead && layer == nil && level != nil { return false }
      return (layer == nil || slot.layer == layer) && (level == nil || slot.level == level)
    }
  }

  /// One optimizer step of a level with its summed gradient (paper eq 71), if there is any. A gradient that is not finite
  /// is dropped and counted. All or nothing.
  func step(_ index: Int, _ engine: Engine) throws(NestedError) {
    guard isLearning(index), state.levels[index].pendingTargets > 0 else { return }
    let norm = pendingNorm(index)
    if norm.isFinite {
      if let willStep, let pending = state.levels[index].pending { try willStep(index, pending, norm) }
      try update(index, norm: norm, engine)
    } else {
      state.levels[index].skipped += 1
    }
    clearPending(index)
  }

  /// Variant nested (paper eq 72): where the slower neighbour ticks, and both have stepped, a level and its optimizer
  /// return to their initial values. A frozen level stays as it is, and does not tick for its faster neighbour.
  func restart(_ index: Int, due: [Int]) {
    guard let parent = table.parent(of: index), isLearning(parent), isLearning(index),
      due.contains(parent), state.levels[index].online != nil
    else { return }
    forgetParameters(index)
    state.levels[index].online = nil
    state.levels[index].optimizer = nil
    state.levels[index].steps = 0
  }

  private func pendingNorm(_ index: Int) -> Double {
    let count = table.slots[index].count
    return state.levels[index].pending.map {
      model.runtime.kernels.sumOfSquares($0.floats, count).squareRoot()
    } ?? 0
  }

  /// Everything that a step of the level needs memory for, so that the step itself cannot fail.
  func reserveStep(_ index: Int, _ engine: Engine) throws(NestedError) {
    let slot = table.slots[index], budget = model.runtime.budget
    forgetParameters(index)  // they hold the online weights, which are to change in place
    _ = try Storage.own(&state.levels[index].online, count: slot.count, budget: budget) { fillFromModel($0, slot) }
    let size = slot.optimizer.slots.count * slot.count
    _ = try Storage.own(&state.levels[index].optimizer, count: size, budget: budget) { $0.fill(0, count: size) }
    let before = try engine.memory.take(slot.count)
    try withExtendedLifetime(before) { () throws(NestedError) in _ = try engine.memory.take(slot.scratch) }
  }

  /// A level as the model has it; rows of a head that the model lacks are 0.
  func fillFromModel(_ to: Floats, _ slot: LevelSlot) {
    model.withWeights { (w: Floats) in to.copy(from: w + slot.offset, count: slot.modelCount) }
    (to + slot.modelCount).fill(0, count: slot.count - slot.modelCount)
  }

  private func update(_ index: Int, norm: Double, _ engine: Engine) throws(NestedError) {
    let slot = table.slots[index], kernels = model.runtime.kernels
    try reserveStep(index, engine)
    guard let pending = state.levels[index].pending, let online = state.levels[index].online,
      let optimizer = state.levels[index].optimizer
    else { return }
    let targets = state.levels[index].pendingTargets
    let before = try engine.memory.take(slot.count)
    let scratch = try engine.memory.take(slot.scratch)
    if engine.computes { before.floats.copy(from: online.floats, count: slot.count) }
    state.levels[index].steps += 1
    slot.update(
      online.floats, optimizer.floats, pending.floats,
      step: UpdateStep(
        number: state.levels[index].steps,
        learningRate: slot.learningRate * state.levels[index].learningRateScale,
        gradientScale: GradientClip.factor(norm: norm, limit: slot.clip),
        inputScale: 1 / Double(targets)),
      kernels: kernels, threads: engine.threads, scratch: scratch.floats)
    kernels.axpy(before.floats, online.floats, -1, slot.count)
    state.levels[index].lastUpdateNorm = kernels.sumOfSquares(before.floats, slot.count).squareRoot()
    state.levels[index].lastGradientNorm = norm
    state.levels[index].updates += 1
    state.levels[index].lastUpdate = state.position
  }

  private func clearPending(_ index: Int) {
    state.levels[index].pendingTargets = 0
    guard var pending = state.levels[index].pending else { return }
    state.levels[index].pending = nil
    // A shared sum is left to the others; the next segment makes a new one.
    if isKnownUniquelyReferenced(&pending) {
      if model.runtime.computes { pending.floats.fill(0, count: pending.count) }
      state.levels[index].pending = pending
    }
  }

  /// Ends the segment and applies every loss whose target is known. The clock is untouched. All or nothing.
  package func flush(layer: Int?, level: Int?) throws(NestedError) {
    let before = state  // its storages are copied before they change
    do throws(NestedError) {
      try closeSegmentNow()
      let engine = try model.runtime.checkOut()
      defer { model.runtime.checkIn(engine) }
      for index in indices(layer, level) { try step(index, engine) }
    } catch {
      adopt(before)
      throw error
    }
  }

  /// Back to the model's weights: what the level learnt, its sum and its optimizer are dropped. A head forgets the labels
  /// that the model does not know.
  package func resetLevels(layer: Int?, level: Int?) throws(NestedError) {
    try closeSegmentNow()
    forgetParameters()
    let own = indices(layer, level)
    if let head = table.head, own.contains(head) { try forgetLabels() }
    for index in own {
      var fresh = LevelState()
      fresh.frozen = state.levels[index].frozen
      fresh.learningRateScale = state.levels[index].learningRateScale
      state.levels[index] = fresh
    }
  }

  private func forgetLabels() throws(NestedError) {
    let count = model.configuration.outputCount
    guard count != state.outputs || state.seen.contains(false) else { return }
    let output = try Storage(count: count, budget: model.runtime.budget)
    output.floats.copy(from: state.output.floats, count: count)
    state.output = output
    state.outputs = count
    state.seen = [Bool](repeating: true, count: state.seen.isEmpty ? 0 : count)
    table = LevelTable(model.configuration, model.layout, outputs: count)
  }

  /// Freezes or thaws, and scales the learning rate; nil leaves as is. Segments end where they would: a level that is
  /// frozen when one does gets nothing of it, and what it had summed up before waits. The other levels do not notice.
  package func control(
    layer: Int?, level: Int?, frozen: Bool?, learningRateScale: Double?
  ) throws(NestedError) {
    for index in indices(layer, level) {
      if let frozen { state.levels[index].frozen = frozen }
      if let learningRateScale { state.levels[index].learningRateScale = learningRateScale }
    }
  }

  package func levelInfo(layer: Int, level: Int) throws(NestedError) -> LevelInfo {
    let index = index(layer, level)
    let slot = table.slots[index], own = state.levels[index]
    let kernels = model.runtime.kernels
    func norm(_ x: Floats, _ count: Int) -> Double { kernels.sumOfSquares(x, count).squareRoot() }
    var info = LevelInfo()
    info.chunk = slot.period
    info.parameters = slot.count
    info.frozen = own.frozen || slot.period == 0
    info.lastUpdate = own.lastUpdate
    info.nextUpdate = info.frozen ? -1 : slot.nextUpdate(after: state.position)
    info.updates = own.updates
    info.skipped = own.skipped
    info.learningRate = slot.period == 0 ? 0 : slot.learningRate * own.learningRateScale
    info.lastGradientNorm = own.lastGradientNorm
    info.lastUpdateNorm = own.lastUpdateNorm
    info.pendingNorm = own.pending.map { norm($0.floats, slot.count) } ?? 0
    model.withWeights { (w: Floats) in
      let start = w + slot.offset
      info.weightNorm = own.online.map { norm($0.floats, slot.count) } ?? norm(start, slot.modelCount)
      var sum = 0.0
      if let online = own.online {
        for i in 0..<slot.count {
          let difference = Double(online.floats[i]) - (i < slot.modelCount ? Double(start[i]) : 0)
          sum += difference * difference
        }
      }
      info.deltaNorm = sum.squareRoot()
    }
    return info
  }

  /// One parameter of a level as this session has it, and as its model has it, with how many elements they have.
  package func withOnlineWeights(
    _ entry: ParameterEntry,
    _ body: (_ online: Floats, _ onlineCount: Int, _ start: Floats, _ startCount: Int) -> Void
  ) throws(NestedError) {
    let index = index(entry.layer, entry.level)
    let slot = table.slots[index]
    model.withWeights { (w: Floats) in
      let start = w + entry.offset
      let online = state.levels[index].online.map { $0.floats + (entry.offset - slot.offset) }
      body(online ?? start, online != nil && slot.isHead ? slot.count : entry.count, start, entry.count)
    }
  }
}
