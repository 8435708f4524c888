internal import CNested

/// Which logits a call is to return.
public enum LogitRows: Sendable {
  /// None.
  case none
  /// [1, V]: those after the last token.
  case last
  /// [n, V]: those after each token.
  case all
}

/// What reading some tokens came to.
public struct Feed: Hashable, Sendable {
  /// Tokens read.
  public let consumed: Int
  /// Mean surprise in nats of the tokens that had a prediction before them, NaN when none had.
  public let loss: Double
  /// Online updates that this call made.
  public let updates: Int
  /// What was asked for, or `nil`.
  public let logits: Tensor?
}

extension Session {
  /// Reads tokens.
  ///
  /// - Parameters:
  ///   - tokens: At least one: `[Int32]`, bytes, `String.utf8`, or any integers below V.
  ///   - logits: Which to return.
  ///   - run: Progress in tokens, stage "feed".
  /// - Throws: ``Status/range`` for a token outside the vocabulary; ``Status/argument`` without
  ///   tokens; ``Status/cancelled``. When the call ends early ``NestedError/committed`` tokens have
  ///   been read.
  @discardableResult
  public func feed<Tokens: Sequence>(
    _ tokens: Tokens, logits: LogitRows = .none, run: Run = Run()
  ) throws(NestedError) -> Feed where Tokens.Element: BinaryInteger {
    let ids = try tokenIDs(tokens)
    let rows =
      switch logits {
      case .none: 0
      case .last: min(1, ids.count)
      case .all: ids.count
      }
    let outputs = rows == 0 ? 0 : try info.outputs
    // One row is a vector to the library, which could not tell [1, V] from all rows of one token.
    let shape = logits == .all ? [rows, outputs] : [outputs]
    var values = try zeros([rows, outputs])
    var record = nested_feed.stamped()
    try unsafe run.call(committed: Int(record.n_consumed)) { run in
      unsafe handle.use { session in
        guard rows > 0 else {
          return unsafe nested_session_feed(session, ids, ids.count, run, nil, &record)
        }
        return unsafe withView(&values, shape: shape) {
          unsafe nested_session_feed(session, ids, ids.count, run, $0, &record)
        }
      }
    }
    return Feed(
      consumed: Int(record.n_consumed), loss: record.loss, updates: Int(record.n_updates),
      logits: rows == 0 ? nil : Tensor(unchecked: [rows, outputs], values))
  }

  /// Reads one token into each of many sessions of one model, as a batch; each result equals the
  /// single call bit for bit.
  ///
  /// - Parameters:
  ///   - sessions: Distinct sessions of one model, at least one.
  ///   - tokens: One for each session.
  ///   - run: Cancelling.
  /// - Returns: Logits [count, V].
  /// - Throws: ``Status/argument`` for a session that is there twice, ``Status/mismatch`` for
  ///   sessions of several models, ``Status/shape``, ``Status/range``. When the call ends early,
  ///   ``NestedError/committed`` sessions, in the order of the array, have read their token.
  @discardableResult
  public static func feedEach<Tokens: Sequence>(
    _ sessions: [Session], _ tokens: Tokens, run: Run = Run()
  ) throws(NestedError) -> Tensor where Tokens.Element: BinaryInteger {
    let ids = try tokenIDs(tokens)
    guard let first = sessions.first, ids.count == sessions.count else {
      throw NestedError(
        .shape, "\(sessions.count) sessions, at least one, need as many tokens, got \(ids.count)",
        place: "tokens")
    }
    let shape = [ids.count, try first.model.info.vocab]
    var values = try zeros(shape)
    var done = 0
    try unsafe run.call(committed: done) { run in
      unsafe withView(&values, shape: shape) { view in
        unsafe withTickets(of: sessions) {
          unsafe nested_sessions_feed($0.baseAddress, $0.count, ids, run, view, &done)
        }
      }
    }
    return Tensor(unchecked: shape, values)
  }
}
