package import NestedBase
package import NestedModels
import NestedTensor

/// What a configuration costs.
///
/// Nothing is a formula of its own: model, trainer and session are made in a runtime that takes memory without computing
/// (`Runtime.init(counting:)`), and are asked to do what they are for. So the figures follow whatever layers, operations,
/// optimizer and session become.
package struct Estimate: Equatable, Sendable {
  package var parameters = 0
  package var weightBytes = 0
  /// What a trainer with default options allocates: gradients and optimizer state.
  package var trainerBytes = 0
  /// What the first training step allocates besides, with a label for every row where the task wants labels; it does not
  /// depend on the number of threads.
  package var activationBytes = 0
  /// The session's own memory after `length` tokens or vectors, once every level has learnt.
  package var sessionBytes = 0
  /// Per token or vector, two for each multiplication with its addition: matrix products, attention, memories; not what is
  /// done element by element. Training counts what the backward pass computes again.
  package var flopsForward = 0.0, flopsTrain = 0.0

  /// Longest sequence.
  package static let longest = 1 << 20

  /// For a valid configuration. Throws `noMemory` where there is no address space for what it describes.
  package init(_ configuration: ModelConfiguration, batch: Int, length: Int) throws(NestedError) {
    let runtime = try Runtime(counting: .current)
    let model = try Model(runtime: runtime, configuration: configuration, seed: 0)
    parameters = model.layout.count
    weightBytes = 4 * parameters
    try countTraining(model, batch: batch, length: length)
    try countForward(model, length: length)
    sessionBytes = try Session.bytes(of: model, after: length)
  }

  private mutating func countTraining(_ model: Model, batch: Int, length: Int) throws(NestedError) {
    // Groups of rows that are alike need the memory of one of them: one, and what remains.
    let group = rowsPerGroup(length)
    let batch = batch <= group ? batch : group + batch % group
    let rows = try Blank(model.configuration, batch: batch, length: length)
    let budget = model.runtime.budget
    let before = budget.current.inUse
    let trainer = try Trainer(model: model, options: [])
    let ready = budget.current.inUse
    trainerBytes = ready - before
    // Nothing can be a target of a classifier that knows no label.
    if model.configuration.outputCount == 0 { return }
    try withExtendedLifetime(rows) { () throws(NestedError) in
      _ = try trainer.step(rows.batch(batch, length), control: .none)
    }
    activationBytes = budget.current.peak - ready
    flopsTrain = 2 * model.runtime.multiplyAdds / Double(batch * length)
  }

  private mutating func countForward(_ model: Model, length: Int) throws(NestedError) {
    let runtime = model.runtime
    let engine = Engine(kernels: runtime.kernels, threads: runtime.threads, budget: runtime.budget)
    let row = try Blank(model.configuration, batch: 1, length: length)
    try withExtendedLifetime(row) { () throws(NestedError) in
      _ = try model.network.outputs(
        engine, model.storageParameters(), row.input, batch: 1, length: length, pooled: row.labels != nil)
    }
    flopsForward = 2 * engine.multiplyAdds / Double(length)
  }
}

/// Something to read, [batch, length] of it, and for classifiers and regressions a label for every row: zeros, which take
/// no memory and are not counted.
private struct Blank {
  let input: NetworkInput
  let labels: Labels?
  private let tokens: Tokens
  private let zeros: AnyObject

  init(_ c: ModelConfiguration, batch: Int, length: Int) throws(NestedError) {
    let count = max(batch * length * max(1, c.inputs), batch * c.outputCount)
    let (numbers, owner) = try CountingRoom().floats(4 * count)
    zeros = owner
    tokens = unsafe Tokens(UnsafeRawPointer(numbers.pointer).assumingMemoryBound(to: Int32.self))
    input = c.kind.readsVectors ? .vectors(numbers) : .tokens(tokens)
    labels = c.hasLabels ? Labels(c.task == .classify ? .classes(tokens) : .numbers(numbers), perRow: true) : nil
  }

  func batch(_ batch: Int, _ length: Int) -> Trainer.Batch {
    labels == nil
      ? Trainer.Batch(tokens: tokens, batch: batch, length: length)
      : Trainer.Batch(input, labels: labels, batch: batch, length: length)
  }
}

extension Session {
  /// `stateBytes` after `length` tokens or vectors that were read piece by piece, in a runtime that only counts.
  fileprivate static func bytes(of model: Model, after length: Int) throws(NestedError) -> Int {
    let c = model.configuration
    let learns = c.hasLabels || !c.levels.isEmpty
    let session = try Session(model: model, learn: learns ? .on : .memory, seed: 0)
    let segment = c.segment
    // One segment, and the token after it: the levels then have something to learn from.
    let row = try Blank(c, batch: 1, length: segment + 1)
    try withExtendedLifetime(row) { () throws(NestedError) in
      if let labels = row.labels {
        var loss = LabelLoss()
        try session.teach(row.input, labels, batch: 1, length: 1, into: &loss, control: .none)
      }
      try session.feed(row.input, count: segment + 1, outputs: nil, lastOnly: true, control: .none)
    }
    let engine = try model.runtime.checkOut()
    defer { model.runtime.checkIn(engine) }
    for index in session.table.slots.indices where session.isLearning(index) {
      session.state.levels[index].pendingTargets = 1
      try session.step(index, engine)
    }
    try session.withParameters(engine) { _ in }
    // Rows grow with the pieces that a stream is cut into.
    (session.state.position, session.state.firstRow, session.state.rows) = (0, 0, nil)
    session.state.taught = 0
    while session.state.position < length {
      let piece = min(segment, length - session.state.position)
      try session.state.reserveRows(piece)
      session.state.position += piece
    }
    return session.stateBytes
  }
}
