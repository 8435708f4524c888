package import NestedBase

/// How the next token is drawn. The default draws from the model's own distribution.
///
/// In this order: `logitBias` is added, `repetitionPenalty` is applied, `temperature` divides (0:
/// the largest logit wins and the rest of the list is not read), then `topK`, `topP` and `minP` cut
/// candidates, each on what the one before it left.
package struct SamplingOptions: Sendable {
  /// 0 = greedy.
  package var temperature: Double = 1
  /// Keeps the k largest; 0 = off.
  package var topK: Int = 0
  /// Keeps the smallest set of the most likely whose probability reaches this, (0, 1]; 0 = off.
  package var topP: Double = 0
  /// Keeps tokens with at least this fraction of the largest probability; 0 = off.
  package var minP: Double = 0
  /// Divides a positive logit and multiplies a negative one for every token that stands in the
  /// window (Keskar et al. 2019, CTRL); 0 and 1 = off.
  package var repetitionPenalty: Double = 0
  /// How many of the last tokens the penalty looks at; 0 = 64.
  package var repetitionWindow: Int = 0
  /// Tokens that end a generation; the sampler itself treats them like any other.
  package var stopTokens: [Int32] = []
  /// [vocab], added to the logits; -infinity forbids a token. Borrowed for the call.
  package var logitBias: Floats?

  package init() {}

  /// The window in use; 0 when no penalty is applied.
  package var window: Int {
    guard repetitionPenalty != 0 && repetitionPenalty != 1 else { return 0 }
    return repetitionWindow == 0 ? 64 : repetitionWindow
  }

  package func isStop(_ token: Int32) -> Bool { stopTokens.contains(token) }

  package func validate(vocab: Int) throws(NestedError) {
    func require(_ condition: Bool, _ name: String, _ wanted: String) throws(NestedError) {
      guard condition else {
        throw NestedError(.range, "[sampling] \(name) must be \(wanted)", place: name)
      }
    }
    try require(temperature >= 0 && temperature.isFinite, "temperature", "0 or more and finite")
    try require(topK >= 0, "top_k", "0 or more")
    try require(topP >= 0 && topP <= 1, "top_p", "in [0, 1]")
    try require(minP >= 0 && minP <= 1, "min_p", "in [0, 1]")
    try require(
      repetitionPenalty >= 0 && repetitionPenalty.isFinite, "repetition_penalty",
      "0 or more and finite")
    try require(repetitionWindow >= 0, "repetition_window", "0 or more")
    for token in stopTokens {
      try require(token >= 0 && Int(token) < vocab, "stop_tokens", "below the vocabulary's size")
    }
  }
}
