internal import CNested

/// How likely a stream finds some tokens.
public struct Score: Hashable, Sendable {
  /// Natural log-probability of each token given those before it; NaN for the first token of a
  /// stream, which nothing predicts.
  public let logProbabilities: [Float]
  /// Their sum without the NaN.
  public let sum: Double
}

extension Session {
  /// Scores tokens as the stream's next. The session neither moves nor learns: a fork in its mode
  /// does.
  ///
  /// - Parameters:
  ///   - tokens: At least one: `[Int32]`, bytes, `String.utf8`, or any integers below V.
  ///   - run: Progress in tokens.
  /// - Throws: ``Status/range`` for a token outside the vocabulary, ``Status/cancelled``.
  public func score<Tokens: Sequence>(
    _ tokens: Tokens, run: Run = Run()
  ) throws(NestedError) -> Score where Tokens.Element: BinaryInteger {
    let ids = try tokenIDs(tokens)
    var values = [Float](repeating: 0, count: ids.count)
    var sum = 0.0
    try unsafe run.call { run in
      unsafe handle.use {
        unsafe nested_session_score($0, ids, ids.count, run, &values, &sum)
      }
    }
    return Score(logProbabilities: values, sum: sum)
  }

  /// Logits [V] after the last token.
  ///
  /// - Throws: ``Status/state`` before the first token.
  public var output: [Float] {
    get throws(NestedError) {
      var values = [Float](repeating: 0, count: try info.outputs)
      var needed = 0
      try check(
        unsafe handle.use { unsafe nested_session_output($0, &values, values.count, &needed) })
      return values
    }
  }
}
