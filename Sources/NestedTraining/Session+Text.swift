package import NestedBase
import NestedModels
package import NestedTensor

/// Why a generation ended. Raw values are those of the C header.
package enum Finish: Int32, Sendable {
  case length = 1, stop = 2, callback = 3
}

extension Session {
  /// Whether there is an output: of something that was fed, not taught.
  package var hasOutput: Bool { state.streamPosition > 0 }

  /// Outputs of the last position into [outputs].
  package func output(into logits: Floats) throws(NestedError) {
    guard hasOutput else {
      throw NestedError(.state, "[session] there is no prediction before the first token")
    }
    logits.copy(from: state.output.floats, count: state.outputs)
  }

  /// Log-probability of each token given the stream and the tokens before it, and their sum; NaN for a stream's first
  /// token. Works on a fork, in the session's mode.
  package func score(
    tokens: Tokens, count: Int, logprobs: Floats?, control: RunControl
  ) throws(NestedError) -> Double {
    let copy = try fork()
    let nll = try Storage(count: count, budget: model.runtime.budget)
    _ = try copy.feed(
      tokens: tokens, count: count, logits: nil, lastOnly: true, nll: nll.floats, sampled: false, control)
    var sum = 0.0
    for i in 0..<count {
      let value = nll.floats[i]
      logprobs?[i] = -value
      if !(i == 0 && state.position == 0) { sum -= Double(value) }
    }
    return sum
  }

  /// Samples up to `max` tokens and feeds them; they advance state and memories and add no level gradient. `onToken` gets
  /// each committed token with its log-probability and answers whether to go on.
  package func generate(
    options: SamplingOptions, max: Int, control: RunControl,
    onToken: (Int32, Double) throws(NestedError) -> Bool
  ) throws(NestedError) -> Finish {
    let vocab = model.configuration.vocab
    guard state.position > 0 else {
      throw NestedError(.state, "[session] there is no prediction before the first token")
    }
    let sampler = self.sampler ?? Sampler(vocab: vocab)
    self.sampler = sampler
    for made in 0..<max {
      try control.report("generate", made, max, .nan)
      let window = min(options.window, state.history.count)
      let draw = try unsafe state.history.withUnsafeBufferPointer {
        (history) throws(NestedError) -> Sampler.Draw in
        guard let base = history.baseAddress else {
          throw NestedError(.state, "[session] there is no prediction before the first token")
        }
        return try sampler.sample(
          logits: state.output.floats, options: options,
          history: unsafe Tokens(base + (history.count - window)), historyCount: window,
          seed: state.seed, position: state.position)
      }
      var token = draw.token
      _ = try unsafe withUnsafePointer(to: &token) { (pointer) throws(NestedError) in
        try feed(
          tokens: unsafe Tokens(pointer), count: 1, logits: nil, lastOnly: true, nll: nil, sampled: true,
          .none)
      }
      if try !onToken(draw.token, draw.logprob) { return .callback }
      if options.isStop(draw.token) { return .stop }
    }
    try control.report("generate", max, max, .nan)
    return .length
  }
}
