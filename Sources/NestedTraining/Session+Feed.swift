package import NestedBase
import NestedLearning
package import NestedModels
package import NestedTensor

package struct FeedResult: Equatable, Sendable {
  package var consumed = 0
  /// Mean nll of the tokens that had a prediction before them, NaN when none had.
  package var loss = Double.nan
  package var updates = 0
}

/// What a segment's end changes. The target of its last token is the first of the next piece: if that is not committed,
/// nothing may have been learnt from it. Held during the piece only, so a step copies the weights it changes.
private struct Learning {
  private let levels: [LevelState]
  private let segmentStart: Storage?
  private let segmentTokens: [Int32]
  private let segmentSampled: [Bool]

  init?(_ state: SessionState, isDue: Bool) {
    guard isDue else { return nil }
    levels = state.levels
    segmentStart = state.segmentStart
    segmentTokens = state.segmentTokens
    segmentSampled = state.segmentSampled
  }

  func putBack(_ state: inout SessionState) {
    state.levels = levels
    state.segmentStart = segmentStart
    state.segmentTokens = segmentTokens
    state.segmentSampled = segmentSampled
  }
}

/// A segment whose forward pass is still on a tape, because it was fed whole.
private struct OpenSegment {
  let tape: Tape
  let logits: Tensor
  let gradient: Storage
}

extension Session {
  /// Advances the stream by `count` tokens; logits [count, V], or [V] of the last if `lastOnly`, or nil.
  ///
  /// The stream is cut at the segments' ends, which depend on the position only. Each piece commits as a whole; after a
  /// failure or a cancel the session stands after the last piece that did. With learning on, the losses of a segment and
  /// the steps of the levels wait for the next token, because it is the last target (SPEC 3).
  @discardableResult
  package func feed(
    tokens: Tokens, count: Int, logits: Floats?, lastOnly: Bool, control: RunControl
  ) throws(NestedError) -> FeedResult {
    try feed(.tokens(tokens), count: count, outputs: logits, lastOnly: lastOnly, control: control)
  }

  /// The same of what the kind reads. Inputs of a classifier or a regression come without targets.
  @discardableResult
  package func feed(
    _ input: NetworkInput, count: Int, outputs: Floats?, lastOnly: Bool, control: RunControl
  ) throws(NestedError) -> FeedResult {
    guard case .tokens(let tokens) = input, !model.configuration.hasLabels else {
      return try feedUnlabelled(input, count: count, outputs: outputs, lastOnly: lastOnly, control)
    }
    return try feed(
      tokens: tokens, count: count, logits: outputs, lastOnly: lastOnly, nll: nil, sampled: false, control)
  }

  /// `nll` [count] receives each token's loss, NaN without a prediction; `sampled` tokens are not learnt from.
  func feed(
    tokens: Tokens, count: Int, logits: Floats?, lastOnly: Bool, nll: Floats?, sampled: Bool,
    _ control: RunControl
  ) throws(NestedError) -> FeedResult {
    let vocab = state.outputs
    let engine = try model.runtime.checkOut()
    defer { model.runtime.checkIn(engine) }
    let before = updates
    var losses = (sum: 0.0, count: 0)
    var done = 0
    var open: OpenSegment? = nil
    while done < count {
      try control.report(
        "feed", done, count, losses.count > 0 ? losses.sum / Double(losses.count) : .nan)
      let next = tokens + done
      let rows = min(count - done, table.clock.segmentEnd(after: state.position) - state.position)
      let before = Learning(state, isDue: learnsNow)
      do throws(NestedError) {
        try learnFromSegment(engine, next: next[0], sampled: sampled, &open)
        try withParameters(engine) { (parameters) throws(NestedError) in
          let result: Tensor
          (result, open) = try forward(engine, parameters, next, rows, &losses, nll.map { $0 + done })
          commit(result, next, rows, sampled: sampled)
          if let logits, !lastOnly {
            (logits + done * vocab).copy(from: result.floats, count: rows * vocab)
          }
        }
      } catch {
        if let before {
          forgetParameters()
          before.putBack(&state)
        }
        throw error
      }
      done += rows
    }
    if let logits, lastOnly, count > 0 { logits.copy(from: state.output.floats, count: vocab) }
    try control.report("feed", count, count, losses.count > 0 ? losses.sum / Double(losses.count) : .nan)
    return FeedResult(
      consumed: count, loss: losses.count > 0 ? losses.sum / Double(losses.count) : .nan,
      updates: updates - before)
  }

  // MARK: One piece

  /// The forward pass of the next `rows` tokens and their losses; moves the recurrent state, or leaves it as it was and
  /// throws. Everything that can fail in a piece is in here.
  private func forward(
    _ engine: Engine, _ parameters: Parameters, _ tokens: Tokens, _ rows: Int,
    _ losses: inout (sum: Double, count: Int), _ nll: Floats?
  ) throws(NestedError) -> (Tensor, OpenSegment?) {
    let learns = learnsFromStream
    if learns && state.segmentTokens.isEmpty {
      let size = state.recurrent.count
      let start = try Storage.own(
        &state.segmentStart, count: size, budget: model.runtime.budget, fill: { _ in })
      if engine.computes { start.floats.copy(from: state.recurrent.floats, count: size) }
    }
    try Storage.makeUnique(&state.recurrent)
    try Storage.makeUnique(&state.output)
    try state.reserveRows(rows)
    let whole = learns && state.segmentTokens.isEmpty && rows > 1
      && table.isSegmentEnd(state.position + rows)
    // Once an engine has run this very pass, nothing is left that could fail.
    var backup: Storage? = nil
    if engine.computes && !engine.isWarm(model, rows, learns: whole) {
      let copy = try engine.memory.take(state.recurrent.count)
      copy.floats.copy(from: state.recurrent.floats, count: state.recurrent.count)
      backup = copy
    }
    let stream = Stream(
      state: state.recurrent.floats, rows: state.rows?.floats, capacity: state.rowCapacity,
      firstRow: state.firstRow, position: state.position, writes: state.learn != .off)
    do throws(NestedError) {
      var open: OpenSegment? = nil
      let result: Tensor
      if whole {
        let (tape, variables, gradient) = try learnable(engine, parameters)
        engine.tape = tape
        defer { engine.tape = nil }
        result = try model.network.logits(
          engine, variables, tokens: tokens, batch: 1, length: rows, stream: stream)
        open = OpenSegment(tape: tape, logits: result, gradient: gradient)
      } else {
        result = try model.network.logits(
          engine, parameters, tokens: tokens, batch: 1, length: rows, stream: stream)
      }
      try addLosses(engine, result, tokens, rows, &losses, nll)
      return (result, open)
    } catch {
      engine.cool()
      if let backup {
        state.recurrent.floats.copy(from: backup.floats, count: state.recurrent.count)
      }
      throw error
    }
  }

  /// Adds the losses of the tokens just read under the predictions before them.
  private func addLosses(
    _ engine: Engine, _ logits: Tensor, _ tokens: Tokens, _ rows: Int,
    _ losses: inout (sum: Double, count: Int), _ nll: Floats?
  ) throws(NestedError) {
    let vocab = model.configuration.vocab
    var sum = 0.0
    nll?[0] = .nan
    if state.position > 0 {
      let last = Tensor(Shape(1, vocab), state.output)
      let first = try engine.crossEntropy(last, tokens)
      sum += first.sum
      nll?[0] = first.nll.floats[0]
    }
    if rows > 1 {
      let inner = Tensor(Shape(rows - 1, vocab), logits.storage, offset: logits.offset)
      let rest = try engine.crossEntropy(inner, tokens + 1)
      sum += rest.sum
      if let nll { (nll + 1).copy(from: rest.nll.floats, count: rows - 1) }
    }
    losses.sum += sum
    losses.count += rows - (state.position > 0 ? 0 : 1)
  }

  private func commit(_ logits: Tensor, _ tokens: Tokens, _ rows: Int, sampled: Bool) {
    let vocab = model.configuration.vocab
    state.output.floats.copy(from: logits.floats + (rows - 1) * vocab, count: vocab)
    for i in 0..<rows {
      state.remember(tokens[i])
      if learnsFromStream {
        state.segmentTokens.append(tokens[i])
        state.segmentSampled.append(sampled)
      }
    }
    state.position += rows
  }

  // MARK: Learning

  /// Whether there is a level that what is read could teach.
  private var learnsFromStream: Bool { state.learn == .on && table.slots.contains { $0.period > 0 } }

  /// Whether the next token ends a segment of learning.
  private var learnsNow: Bool { learnsFromStream && table.isSegmentEnd(state.position) }

  /// Before the token `next` is read: ends the segment if it is complete, and steps the levels that are due.
  private func learnFromSegment(
    _ engine: Engine, next: Int32, sampled: Bool, _ open: inout OpenSegment?
  ) throws(NestedError) {
    guard learnsNow else { return }
    try closeSegment(engine, next: sampled ? nil : next, open)
    open = nil  // its tape holds the weights that now change in place
    let due = table.slots.indices.filter { table.clock.isDue(table.slots[$0].level, at: state.position) }
    for index in due { try step(index, engine) }
    for index in due { restart(index, due: due) }
  }

  /// A tape with the levels that learn as variables, their gradients added to the storage.
  func learnable(
    _ engine: Engine, _ parameters: Parameters
  ) throws(NestedError) -> (Tape, Parameters, Storage) {
    let tape = Tape()
    var variables = parameters
    let learning = table.slots.indices.filter { isLearning($0) }
    let total = learning.reduce(0) { $0 + table.slots[$1].count + table.slots[$1].inputCount }
    let gradient = try engine.memory.take(total)
    if engine.computes { gradient.floats.fill(0, count: total) }
    var at = 0
    for index in learning {
      let slot = table.slots[index]
      let place = gradient.floats + at
      for (i, part) in zip(slot.entries, slot.parts) {
        variables[i] = tape.variable(
          parameters[i], addingTo: place + part.offset,
          inputs: part.inputs >= 0 ? place + (slot.count + part.inputs) : nil)
      }
      at += slot.count + slot.inputCount
    }
    return (tape, variables, gradient)
  }

  func isLearning(_ index: Int) -> Bool {
    table.slots[index].period > 0 && !state.levels[index].frozen
  }

  /// Backpropagates the present segment and adds its gradients to the levels' sums. `next` is the target of its last
  /// token, nil if there is none. On failure everything is as before.
  private func closeSegment(
    _ engine: Engine, next: Int32?, _ open: OpenSegment?
  ) throws(NestedError) {
    let rows = state.segmentTokens.count
    guard rows > 0, let start = state.segmentStart else { return }
    var targets = [Int32](repeating: -1, count: rows)
    for i in 0..<rows - 1 where !state.segmentSampled[i + 1] { targets[i] = state.segmentTokens[i + 1] }
    if let next { targets[rows - 1] = next }
    let known = targets.reduce(0) { $0 + ($1 >= 0 ? 1 : 0) }
    let learning = table.slots.indices.filter { isLearning($0) }
    if known > 0 && !learning.isEmpty {
      let gradient = try segmentGradient(engine, start, targets, open)
      // Make room first: from here on nothing fails.
      for index in learning {
        let count = table.slots[index].count + table.slots[index].inputCount
        _ = try Storage.own(
          &state.levels[index].pending, count: count, budget: model.runtime.budget,
          fill: { $0.fill(0, count: count) })
      }
      var at = 0
      for index in learning {
        let count = table.slots[index].count + table.slots[index].inputCount
        if let pending = state.levels[index].pending {
          model.runtime.kernels.axpy(pending.floats, gradient.floats + at, 1, count)
        }
        state.levels[index].pendingTargets += known
        at += count
      }
    }
    state.segmentTokens.removeAll(keepingCapacity: true)
    state.segmentSampled.removeAll(keepingCapacity: true)
  }

  private func segmentGradient(
    _ engine: Engine, _ start: Storage, _ targets: [Int32], _ open: OpenSegment?
  ) throws(NestedError) -> Storage {
    func backward(_ tape: Tape, _ logits: Tensor) throws(NestedError) {
      engine.tape = tape
      defer { engine.tape = nil }
      try unsafe targets.withUnsafeBufferPointer { (buffer) throws(NestedError) in
        guard let base = buffer.baseAddress else { return }
        let loss = try engine.crossEntropy(logits, unsafe Tokens(base)).loss
        if loss.slot < 0 { return }
        tape.inputWeight = Float(targets.reduce(0) { $0 + ($1 >= 0 ? 1 : 0) }) / Float(targets.count)
        try tape.backward(engine, from: loss, seed: try engine.full(Shape(1), 1))
      }
    }
    if let open {
      try backward(open.tape, open.logits)
      return open.gradient
    }
    return try withParameters(engine) { (parameters) throws(NestedError) in
      let (tape, variables, gradient) = try learnable(engine, parameters)
      let work = try engine.memory.take(start.count)
      if engine.computes { work.floats.copy(from: start.floats, count: start.count) }
      let rows = state.segmentTokens.count
      let stream = Stream(
        state: work.floats, rows: state.rows?.floats, capacity: state.rowCapacity,
        firstRow: state.firstRow, position: state.position - rows, writes: true, keepsRows: false)
      engine.tape = tape
      defer { engine.tape = nil }
      try unsafe state.segmentTokens.withUnsafeBufferPointer { (buffer) throws(NestedError) in
        guard let base = buffer.baseAddress else { return }
        let logits = try model.network.logits(
          engine, variables, tokens: unsafe Tokens(base), batch: 1, length: rows, stream: stream)
        try backward(tape, logits)
      }
      return gradient
    }
  }

  /// Ends the segment where it stands: the last token's loss is dropped.
  func closeSegmentNow() throws(NestedError) {
    let engine = try model.runtime.checkOut()
    defer { model.runtime.checkIn(engine) }
    try closeSegment(engine, next: nil, nil)
  }
}
