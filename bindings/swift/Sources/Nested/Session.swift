internal import CNested

/// What a session learns while it reads.
public enum LearnMode: Sendable, CaseIterable {
  /// Memories are written, levels are fixed. The default.
  case memory
  /// Memories and levels are fixed; the recurrent state moves.
  case off
  /// Memories are written, and the CMS levels learn, each at its own period.
  case on

  var constant: Int32 {
    let constant =
      switch self {
      case .memory: NESTED_LEARN_MEMORY
      case .off: NESTED_LEARN_OFF
      case .on: NESTED_LEARN_ON
      }
    return Int32(truncatingIfNeeded: constant)
  }
}

/// One stream of a model: it reads tokens, predicts the next, and may learn from what it reads,
/// while the model stays as it is.
///
/// A session is a reference: copies are the same stream; ``fork()`` makes another. Sessions of one
/// model run in parallel threads; calls on one session run one at a time. How a stream is cut into
/// calls does not matter: reading 10 and 10 tokens equals reading 20, bit for bit.
public struct Session: Sendable {
  let handle: Handle
  /// The model whose stream this is.
  public let model: Model

  init(_ handle: Handle, of model: Model) {
    self.handle = handle
    self.model = model
  }

  /// A fresh stream.
  ///
  /// - Parameters:
  ///   - model: Shared with other sessions, read only.
  ///   - learn: What the stream teaches.
  ///   - seed: For sampling.
  public init(
    _ model: Model, learn: LearnMode = .memory, seed: UInt64 = 0
  ) throws(NestedError) {
    var options = nested_session_options.stamped()
    options.learn = learn.constant
    options.seed = seed
    self.model = model
    handle = try unsafe model.handle.making(nested_session_release) {
      unsafe nested_session_create($0, &options, $1)
    }
  }

  /// An independent copy, which goes on from here on its own.
  public func fork() throws(NestedError) -> Session {
    Session(
      try unsafe handle.making(nested_session_release) { unsafe nested_session_fork($0, $1) },
      of: model)
  }

  /// Back to a fresh stream, in the present mode.
  public func reset() throws(NestedError) {
    try check(unsafe handle.use { unsafe nested_session_reset($0) })
  }

  /// Switches learning. Gradients count from the token at which it is switched on; switching it off
  /// drops those that are pending.
  public func setLearn(_ mode: LearnMode) throws(NestedError) {
    try check(unsafe handle.use { unsafe nested_session_set_learn($0, mode.constant) })
  }

  /// State of a session.
  public struct Info: Hashable, Sendable {
    /// What it learns.
    public let learn: LearnMode
    /// Tokens read.
    public let position: Int
    /// Of sampling.
    public let seed: UInt64
    /// Memory that is this session's own, in bytes.
    public let stateBytes: Int
    /// Online updates over all levels.
    public let updates: Int
    /// Updates dropped because they were not finite.
    public let skipped: Int
    /// Of the model now, see ``Model/Info/version``.
    public let modelVersion: UInt64
    /// Numbers in an answer, as the model's; of the task "classify" it grows with the labels.
    public let outputs: Int
  }

  /// Its state.
  public var info: Info {
    get throws(NestedError) {
      var record = nested_session_info.stamped()
      try check(unsafe handle.use { unsafe nested_session_get_info($0, &record) })
      let mode = record.learn
      return Info(
        learn: LearnMode.allCases.first { $0.constant == mode } ?? .memory,
        position: Int(record.position), seed: record.seed, stateBytes: Int(record.state_bytes),
        updates: Int(record.n_updates), skipped: Int(record.n_skipped),
        modelVersion: record.model_version, outputs: Int(record.n_outputs))
    }
  }
}

/// `body` with the tickets of sessions, which live at least until it returns.
func withTickets<Result>(
  of sessions: [Session], _ body: (UnsafeBufferPointer<OpaquePointer?>) -> Result
) -> Result {
  let tickets: [OpaquePointer?] = unsafe sessions.map { unsafe $0.handle.use { unsafe $0 } }
  return withExtendedLifetime(sessions) { unsafe tickets.withUnsafeBufferPointer(body) }
}
