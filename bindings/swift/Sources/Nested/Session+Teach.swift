internal import CNested

extension Session {
  /// Reads vectors, row by row. Without targets they teach nothing, but count on the clock.
  ///
  /// - Parameters:
  ///   - vectors: [n, numbers of a vector], at least one.
  ///   - logits: Which outputs to return.
  ///   - run: Progress in vectors, stage "feed".
  /// - Throws: ``Status/shape`` when the numbers are not whole vectors, ``Status/numeric`` for one that
  ///   is not finite, ``Status/unsupported`` for a model that reads tokens, ``Status/cancelled``. When
  ///   the call ends early ``NestedError/committed`` vectors have been read.
  @discardableResult
  public func feed(
    vectors: [Float], logits: LogitRows = .none, run: Run = Run()
  ) throws(NestedError) -> Feed {
    let width = try model.info.inputs
    guard vectors.count % max(width, 1) == 0 else {
      throw NestedError(
        .shape, "\(vectors.count) numbers are not vectors of \(width)", place: "vectors")
    }
    let n = width == 0 ? 0 : vectors.count / width
    let rows =
      switch logits {
      case .none: 0
      case .last: min(1, n)
      case .all: n
      }
    let outputs = rows == 0 ? 0 : try info.outputs
    let shape = logits == .all ? [rows, outputs] : [outputs]
    var values = try zeros([rows, outputs])
    var record = nested_feed.stamped()
    try unsafe run.call(committed: Int(record.n_consumed)) { run in
      unsafe handle.use { session in
        unsafe withView(of: vectors, shape: [n, width]) { source in
          guard rows > 0 else {
            return unsafe nested_session_feed_vectors(session, source, run, nil, &record)
          }
          return unsafe withView(&values, shape: shape) {
            unsafe nested_session_feed_vectors(session, source, run, $0, &record)
          }
        }
      }
    }
    return Feed(
      consumed: Int(record.n_consumed), loss: record.loss, updates: Int(record.n_updates),
      logits: rows == 0 ? nil : Tensor(unchecked: [rows, outputs], values))
  }

  /// Learns labelled rows, whatever the mode: each row is a fresh sequence through the session's
  /// levels, of which the head is one. A label that has not been seen, below 2^24, adds a class.
  ///
  /// - Parameters:
  ///   - batch: Rows with labels or values.
  ///   - run: Progress and cancelling.
  /// - Returns: The loss before learning from each row.
  /// - Throws: ``Status/range`` for a label, ``Status/shape``, ``Status/numeric``,
  ///   ``Status/unsupported`` for the task "lm", ``Status/cancelled``. Rows commit one by one: when the
  ///   call ends early ``NestedError/committed`` targets have been learnt.
  @discardableResult
  public func teach(_ batch: Batch, run: Run = Run()) throws(NestedError) -> Evaluation {
    var record = nested_eval.stamped()
    try unsafe run.call(committed: Int(record.n_targets)) { run in
      unsafe handle.use { session in
        unsafe batch.use { unsafe nested_session_teach(session, $0, run, &record) }
      }
    }
    return Evaluation(record)
  }

  /// Answers [B, outputs] for rows, each a fresh sequence through the session's levels, which stay as
  /// they are: logits, or the numbers of the task "regress".
  ///
  /// - Throws: as ``teach(_:run:)``.
  public func predict(_ batch: Batch, run: Run = Run()) throws(NestedError) -> Tensor {
    try predict(batch, [batch.rows, info.outputs], run)
  }

  /// The same for each position of the rows: [B, T, outputs].
  ///
  /// - Throws: as ``teach(_:run:)``.
  public func predictPositions(_ batch: Batch, run: Run = Run()) throws(NestedError) -> Tensor {
    try predict(batch, [batch.rows, batch.length, info.outputs], run)
  }

  private func predict(
    _ batch: Batch, _ shape: [Int], _ run: Run
  ) throws(NestedError) -> Tensor {
    var values = try zeros(shape)
    try unsafe run.call { run in
      unsafe withView(&values, shape: shape) { view in
        unsafe handle.use { session in
          unsafe batch.use { unsafe nested_session_predict(session, $0, run, view) }
        }
      }
    }
    return Tensor(unchecked: shape, values)
  }
}
