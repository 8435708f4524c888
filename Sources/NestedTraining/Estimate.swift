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
  /// What the first training step allocates besides; it does not depend on the number of threads.
  package var activationBytes = 0
  /// The session's own memory after `length` tokens, once every level has learnt.
  package var sessionBytes = 0
  /// Per token, two for each multiplication with its addition: matrix products, attention, memories; not what is done element
  /// by element. Training counts what the backward pass computes again.
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
    let tokens = [Int32](repeating: 0, count: batch * length)
    let budget = model.runtime.budget
    let before = budget.current.inUse
    let trainer = try Trainer(model: model, options: [])
    let ready = budget.current.inUse
    trainerBytes = ready - before
    try Estimate.with(tokens) { (tokens) throws(NestedError) in
      _ = try trainer.step(.init(tokens: tokens, batch: batch, length: length), control: .none)
    }
    activationBytes = budget.current.peak - ready
    flopsTrain = 2 * model.runtime.multiplyAdds / Double(batch * length)
  }

  private mutating func countForward(_ model: Model, length: Int) throws(NestedError) {
    let runtime = model.runtime
    let engine = Engine(kernels: runtime.kernels, threads: runtime.threads, budget: runtime.budget)
    try Estimate.with([Int32](repeating: 0, count: length)) { (tokens) throws(NestedError) in
      _ = try model.network.logits(engine, model.storageParameters(), tokens: tokens, batch: 1, length: length)
    }
    flopsForward = 2 * engine.multiplyAdds / Double(length)
  }

  fileprivate static func with(
    _ tokens: [Int32], _ body: (Tokens) throws(NestedError) -> Void
  ) throws(NestedError) {
    try unsafe tokens.withUnsafeBufferPointer { (buffer) throws(NestedError) in
      guard let base = buffer.baseAddress else { return }
      try unsafe body(Tokens(base))
    }
  }
}

extension Session {
  /// `stateBytes` after `length` tokens that were read piece by piece, in a runtime that only counts.
  fileprivate static func bytes(of model: Model, after length: Int) throws(NestedError) -> Int {
    let learns = !model.configuration.levels.isEmpty
    let session = try Session(model: model, learn: learns ? .on : .memory, seed: 0)
    let segment = model.configuration.segment
    // One segment, and the token after it: the levels then have something to learn from.
    try Estimate.with([Int32](repeating: 0, count: segment + 1)) { (tokens) throws(NestedError) in
      try session.feed(tokens: tokens, count: segment + 1, logits: nil, lastOnly: true, control: .none)
    }
    for index in session.table.slots.indices where session.isLearning(index) {
      session.state.levels[index].pendingTargets = 1
      try session.step(index)
    }
    let engine = try model.runtime.checkOut()
    defer { model.runtime.checkIn(engine) }
    try session.withParameters(engine) { _ in }
    // Rows grow with the pieces that a stream is cut into.
    (session.state.position, session.state.firstRow, session.state.rows) = (0, 0, nil)
    while session.state.position < length {
      let piece = min(segment, length - session.state.position)
      try session.state.reserveRows(piece)
      session.state.position += piece
    }
    return session.stateBytes
  }
}
