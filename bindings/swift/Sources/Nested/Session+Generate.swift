internal import CNested

/// A token as it is drawn.
public struct TokenEvent: Hashable, Sendable {
  /// Its id.
  public let token: Int32
  /// From 0 in each call.
  public let index: Int
  /// Under the untempered distribution, in nats.
  public let logProbability: Double
}

/// What a session wrote.
public struct Generation: Hashable, Sendable {
  /// Why it ended.
  public enum Finish: Sendable {
    /// There were as many tokens as allowed.
    case length
    /// A token of ``Sampling/stop``.
    case stop
    /// The closure said stop.
    case callback
  }

  /// In the order they were drawn.
  public let tokens: [Int32]
  /// Why there are no more.
  public let finish: Finish

  /// The tokens of a model of bytes as text; what is no byte or no UTF-8 becomes U+FFFD.
  public var text: String {
    String(decoding: tokens.map { UInt8(exactly: $0) ?? 0xFF }, as: UTF8.self)
  }
}

extension Session {
  /// Draws up to `count` tokens and reads them. Randomness comes from the session's seed and
  /// position alone. What is drawn moves the state and the memories, and teaches the levels
  /// nothing.
  ///
  /// - Parameters:
  ///   - count: The most tokens to draw; `.max` = until something else ends it.
  ///   - sampling: How to choose.
  ///   - run: Progress in tokens.
  ///   - onToken: Called with each token as it is drawn, on this thread. ``ControlFlow/stop`` ends
  ///     the passage after this token; an error ends the call with ``Status/callback`` and arrives
  ///     as ``NestedError/underlying``.
  /// - Throws: ``Status/state`` before the first token of a stream; ``Status/range``,
  ///   ``Status/argument`` for sampling that is not allowed; ``Status/cancelled``. When the call
  ///   ends early ``NestedError/committed`` tokens have been drawn and read.
  @discardableResult
  public func generate(
    _ count: Int, sampling: Sampling = Sampling(), run: Run = Run(),
    onToken: ((TokenEvent) throws -> ControlFlow)? = nil
  ) throws(NestedError) -> Generation {
    // The library takes at most 2^40, which nobody waits for.
    let most = min(try Nested.count(count, place: "count"), 1 << 40)
    if let bias = sampling.logitBias, try bias.count != model.info.vocab {
      throw NestedError(.shape, "a bias for each token of the vocabulary", place: "logitBias")
    }
    let failure = Failure()
    let listener = TokenListener(onToken, failure)
    var (drawn, finish) = (0, Int32(0))
    let status = unsafe sampling.use { sampling in
      unsafe run.status(failure) { run in
        withExtendedLifetime(listener) {
          unsafe handle.use { session in
            unsafe nested_session_generate(
              session, sampling, most, TokenListener.receive,
              Unmanaged.passUnretained(listener).toOpaque(), run, nil, &drawn, &finish)
          }
        }
      }
    }
    try check(status, committed: drawn, underlying: failure.error)
    return Generation(
      tokens: Array(listener.tokens.prefix(drawn)),
      finish: finish == NESTED_FINISH_STOP
        ? .stop : finish == NESTED_FINISH_CALLBACK ? .callback : .length)
  }
}

/// Collects the tokens of a call and asks its closure.
private final class TokenListener {
  let closure: ((TokenEvent) throws -> ControlFlow)?
  let failure: Failure
  var tokens: [Int32] = []

  init(_ closure: ((TokenEvent) throws -> ControlFlow)?, _ failure: Failure) {
    self.closure = closure
    self.failure = failure
  }

  static let receive: nested_token_fn = { user, record in
    guard let user = unsafe user, let record = unsafe record?.pointee else { return 0 }
    let listener = unsafe Unmanaged<TokenListener>.fromOpaque(user).takeUnretainedValue()
    listener.tokens.append(record.token)
    guard let closure = listener.closure else { return 0 }
    let event = TokenEvent(
      token: record.token, index: Int(record.index), logProbability: record.logprob)
    return listener.failure.answer { try closure(event) }
  }
}

extension Sampling {
  /// `body` with the C struct, valid inside it.
  fileprivate func use<Result>(_ body: (UnsafePointer<nested_sampling>) -> Result) -> Result {
    var record = unsafe nested_sampling.stamped()
    unsafe record.top_k = Int32(clamping: topK)
    unsafe record.temperature = temperature
    unsafe record.top_p = topP
    unsafe record.min_p = minP
    unsafe record.repetition_penalty = repetitionPenalty
    unsafe record.repetition_window = Int64(repetitionWindow)
    return unsafe stop.withUnsafeBufferPointer { stop in
      unsafe record.stop_tokens = stop.baseAddress
      unsafe record.n_stop_tokens = UInt64(stop.count)
      return unsafe (logitBias ?? []).withUnsafeBufferPointer { bias in
        unsafe record.logit_bias = logitBias == nil ? nil : bias.baseAddress
        return unsafe body(&record)
      }
    }
  }
}
