package import NestedBase
import NestedLearning
package import NestedModels
package import NestedTensor

// Sessions of classifiers and regressions (SPEC 3): a target comes with its input, so what is learnt from an input is in
// force at the next one.

extension Session {
  private var width: Int { model.configuration.inputs }

  // MARK: Reading

  /// Advances the stream by `count` inputs without targets; outputs [count, O], or [O] of the last if `lastOnly`, or nil.
  /// With learning on, levels whose period ends step with what `teach` has left them; in the other modes that waits.
  func feedUnlabelled(
    _ input: NetworkInput, count: Int, outputs: Floats?, lastOnly: Bool, _ control: RunControl
  ) throws(NestedError) -> FeedResult {
    let engine = try model.runtime.checkOut()
    defer { model.runtime.checkIn(engine) }
    let before = updates
    var done = 0
    while done < count {
      try control.report("feed", done, count, .nan)
      var end = table.clock.segmentEnd(after: state.position)
      if state.learn == .on {
        for (slot, level) in zip(table.slots, state.levels) where level.pendingTargets > 0 && slot.period > 0 {
          end = min(end, slot.nextUpdate(after: state.position))
        }
      }
      let rows = min(count - done, end - state.position)
      let due = state.learn == .on ? self.due(after: rows) : []
      for index in due where steps(index, adding: 0) { try reserveStep(index, engine) }
      let place = lastOnly ? nil : outputs.map { $0 + done * state.outputs }
      try read(engine, input.advanced(by: done, width: width), rows, place)
      state.position += rows
      try stepAll(due, engine)
      done += rows
    }
    if let outputs, lastOnly, count > 0 { outputs.copy(from: state.output.floats, count: state.outputs) }
    try control.report("feed", count, count, .nan)
    return FeedResult(consumed: count, loss: .nan, updates: updates - before)
  }

  /// The next `rows` inputs of the stream; moves the recurrent state, or leaves it as it was and throws.
  private func read(
    _ engine: Engine, _ input: NetworkInput, _ rows: Int, _ outputs: Floats?
  ) throws(NestedError) {
    try Storage.makeUnique(&state.recurrent)
    try Storage.makeUnique(&state.output)
    try state.reserveRows(rows)
    var backup: Storage? = nil
    if engine.computes && !engine.isWarm(model, rows, learns: false) {
      let copy = try engine.memory.take(state.recurrent.count)
      copy.floats.copy(from: state.recurrent.floats, count: state.recurrent.count)
      backup = copy
    }
    let stream = Stream(
      state: state.recurrent.floats, rows: state.rows?.floats, capacity: state.rowCapacity,
      firstRow: state.firstRow, position: state.streamPosition, writes: state.learn != .off)
    do throws(NestedError) {
      try withParameters(engine) { (parameters) throws(NestedError) in
        let result = try known(
          engine,
          try model.network.outputs(engine, parameters, input, batch: 1, length: rows, stream: stream))
        outputs?.copy(from: result.floats, count: result.count)
        state.output.floats.copy(from: result.floats + (rows - 1) * state.outputs, count: state.outputs)
      }
    } catch {
      engine.cool()
      if let backup { state.recurrent.floats.copy(from: backup.floats, count: state.recurrent.count) }
      throw error
    }
  }

  /// Outputs [B, T, O], or if `pooled` [B, O], for rows that are fresh sequences at position 0, through this session's
  /// levels. Nothing changes, and memories are written within a row whatever the mode.
  package func predict(
    _ input: NetworkInput, batch: Int, length: Int, pooled: Bool, into to: Floats, control: RunControl
  ) throws(NestedError) {
    let engine = try model.runtime.checkOut()
    defer { model.runtime.checkIn(engine) }
    for row in 0..<batch {
      try control.report("predict", row * length, batch * length, .nan)
      try withParameters(engine) { (parameters) throws(NestedError) in
        let result = try known(
          engine,
          try model.network.outputs(
            engine, parameters, input.advanced(by: row * length, width: width), batch: 1, length: length,
            pooled: pooled))
        (to + row * result.count).copy(from: result.floats, count: result.count)
      }
    }
    try control.report("predict", batch * length, batch * length, .nan)
  }

  /// Outputs with the labels that were never seen taken out.
  private func known(_ engine: Engine, _ outputs: Tensor) throws(NestedError) -> Tensor {
    state.seen.contains(false) ? try engine.masked(outputs, state.seen) : outputs
  }

  // MARK: Learning

  /// Learns from rows, each a fresh sequence at position 0 through this session's levels, whatever the mode. The stream
  /// stays where it is; the clock advances by the length of each row. `total` grows by the loss of every row that has been
  /// committed, taken before it was learnt from.
  ///
  /// Kind cms works on each input alone: with a label for every position a row is its inputs one by one (to rounding: the
  /// gradients of a piece are summed in one product), and is cut where a level steps. Everywhere else a row is one segment:
  /// its gradient is taken at the weights in force at its start, and then every level whose period has ended within the row
  /// steps, once.
  package func teach(
    _ input: NetworkInput, _ labels: Labels, batch: Int, length: Int, into total: inout LabelLoss,
    control: RunControl
  ) throws(NestedError) {
    let engine = try model.runtime.checkOut()
    defer { model.runtime.checkIn(engine) }
    for row in 0..<batch {
      let mean = total.targets > 0 ? total.lossSum / total.targets : .nan
      total += try teachRow(engine, input.advanced(by: row * length, width: width), labels, row, length) {
        (done) throws(NestedError) in
        try control.report("teach", row * length + done, batch * length, mean)
      }
    }
    let mean = total.targets > 0 ? total.lossSum / total.targets : .nan
    try control.report("teach", batch * length, batch * length, mean)
  }

  /// All or nothing. `report` hears where the row is, before each piece of it.
  private func teachRow(
    _ engine: Engine, _ input: NetworkInput, _ labels: Labels, _ row: Int, _ length: Int,
    _ report: (Int) throws(NestedError) -> Void
  ) throws(NestedError) -> LabelLoss {
    let cuts = model.configuration.kind.readsVectors && !labels.perRow
    let first = labels.perRow ? row : row * length
    let whole = cuts ? pieceEnd(labels, first, 0, length) == length : true
    // What a single piece changes it changes after everything that can fail; a copy would make it copy the levels.
    if whole && !hasNewLabel(labels, first..<first + (labels.perRow ? 1 : length)) {
      try report(0)
      return try learn(engine, input, labels, first, length)
    }
    let before = state
    var total = LabelLoss()
    do throws(NestedError) {
      var start = 0
      while start < length {
        try report(start)
        let end = cuts ? pieceEnd(labels, first, start, length) : length
        let places = labels.perRow ? first..<first + 1 : first + start..<first + end
        try admitLabels(labels, places)
        total += try learn(
          engine, input.advanced(by: start, width: width), labels, places.lowerBound, end - start)
        start = end
      }
    } catch {
      adopt(before)
      throw error
    }
    return total
  }

  /// Where the piece that begins at `start` of a row ends: where a level steps, at a segment's end, and before a label that
  /// is new, because the losses before it do not know it.
  private func pieceEnd(_ labels: Labels, _ first: Int, _ start: Int, _ length: Int) -> Int {
    var end = table.clock.segmentEnd(after: state.position)
    for (index, slot) in table.slots.enumerated() where isLearning(index) {
      end = min(end, slot.nextUpdate(after: state.position))
    }
    let limit = min(length, start + end - state.position)
    for at in start + 1..<max(start + 1, limit) where hasNewLabel(labels, first + at..<first + at + 1) {
      return at
    }
    return limit
  }

  /// `count` inputs as one segment: the gradient at the weights in force, then the steps that are due. All or nothing.
  private func learn(
    _ engine: Engine, _ input: NetworkInput, _ labels: Labels, _ place: Int, _ count: Int
  ) throws(NestedError) -> LabelLoss {
    let learning = table.slots.indices.filter { isLearning($0) }
    let (total, gradient) = try withParameters(engine) { (parameters) throws(NestedError) -> (LabelLoss, Storage) in
      let (tape, variables, gradient) = try learnable(engine, parameters)
      engine.tape = tape
      defer { engine.tape = nil }
      let outputs = try known(
        engine,
        try model.network.outputs(engine, variables, input, batch: 1, length: count, pooled: labels.perRow))
      let result = try labels.loss(engine, outputs, from: place)
      if result.loss.slot >= 0 {
        tape.inputWeight = Float(result.total.known) / Float(count)
        try tape.backward(engine, from: result.loss, seed: try engine.full(Shape(1), 1))
      }
      return (result.total, gradient)
    }
    let due = self.due(after: count)
    // Room first: from here on nothing fails.
    for index in learning where total.known > 0 {
      let size = table.slots[index].count + table.slots[index].inputCount
      _ = try Storage.own(
        &state.levels[index].pending, count: size, budget: model.runtime.budget,
        fill: { $0.fill(0, count: size) })
    }
    for index in due where steps(index, adding: total.known) { try reserveStep(index, engine) }
    var at = 0
    for index in learning where total.known > 0 {
      let size = table.slots[index].count + table.slots[index].inputCount
      if let pending = state.levels[index].pending {
        model.runtime.kernels.axpy(pending.floats, gradient.floats + at, 1, size)
      }
      state.levels[index].pendingTargets += total.known
      at += size
    }
    state.position += count
    state.taught += count
    try stepAll(due, engine)
    return total
  }

  /// Levels whose period ends within the next `count` inputs.
  private func due(after count: Int) -> [Int] {
    table.slots.indices.filter { table.slots[$0].isDue(after: state.position, at: state.position + count) }
  }

  private func steps(_ index: Int, adding targets: Int) -> Bool {
    isLearning(index) && state.levels[index].pendingTargets + targets > 0
  }

  private func stepAll(_ due: [Int], _ engine: Engine) throws(NestedError) {
    for index in due { try step(index, engine) }
    for index in due { restart(index, due: due) }
  }
}
