import Glibc
package import NestedBase

/// Draws tokens: a pure function of (logits, options, history, seed, position), with scratch it
/// keeps so that a token allocates nothing. Candidates are ordered by value, equal ones by the
/// smaller id, so every cut and every tie is decided the same way each time; the draw itself is one
/// Philox number keyed by seed and position.
package final class Sampler {
  /// The Philox stream of sampling, far from those that initialise parameters.
  package static let stream: UInt32 = 0x8000_0002

  /// `logprob` is the token's log-probability under the model's own distribution: no bias, no
  /// penalty, temperature 1.
  package struct Draw: Equatable, Sendable {
    package var token: Int32
    package var logprob: Double
  }

  package let vocab: Int
  /// Logits after bias and penalty, as doubles; then exp((x - max) / temperature).
  private var values: [Double]  // [V]
  /// A heap of candidates, then those taken from it: the best stands last.
  private var order: [Int32]  // [V]
  private var seen: [Bool]  // [V], false between calls

  package init(vocab: Int) {
    self.vocab = vocab
    values = [Double](repeating: 0, count: vocab)
    order = [Int32](repeating: 0, count: vocab)
    seen = [Bool](repeating: false, count: vocab)
  }

  /// logits [V]; history: the last `historyCount` tokens of the stream, oldest first, for the
  /// penalty; `position` of the token to draw. Options are valid (`SamplingOptions.validate`).
  /// `numeric` when a logit is NaN or +infinity, or when none is left above -infinity.
  package func sample(
    logits: Floats, options: SamplingOptions, history: Tokens, historyCount: Int, seed: UInt64,
    position: Int
  ) throws(NestedError) -> Draw {
    let logSum = try logSumExp(logits)
    prepare(logits, options, history, historyCount)
    let best = argmax()
    guard values[best] > -.infinity else {
      throw NestedError(.numeric, "[sample] every token is forbidden", place: "logit_bias")
    }
    guard values[best] < .infinity else {
      throw NestedError(.numeric, "[sample] a biased logit is infinite", place: "logit_bias")
    }
    var token = best
    if options.temperature > 0 {
      exponentiate(maximum: values[best], temperature: options.temperature)
      let u = Philox(seed: seed, stream: Self.stream).uniform(
        at: UInt64(truncatingIfNeeded: position))
      let ordered =
        (options.topK > 0 && options.topK < vocab) || (options.topP > 0 && options.topP < 1)
      token = ordered ? drawOrdered(options, u) : drawAll(options.minP, u)
    }
    return Draw(token: Int32(token), logprob: Double(logits[token]) - logSum)
  }

  /// log Σ exp(logits), and the check that they are numbers.
  private func logSumExp(_ logits: Floats) throws(NestedError) -> Double {
    var maximum = -Float.infinity
    for i in 0..<vocab {
      guard logits[i] < .infinity else {
        throw NestedError(.numeric, "[sample] logit \(i) is not finite", place: "logits")
      }
      maximum = max(maximum, logits[i])
    }
    guard maximum > -.infinity else {
      throw NestedError(.numeric, "[sample] no logit is finite", place: "logits")
    }
    var sum = 0.0
    for i in 0..<vocab { sum += exp(Double(logits[i] - maximum)) }
    return Double(maximum) + log(sum)
  }

  private func prepare(
    _ logits: Floats, _ options: SamplingOptions, _ history: Tokens, _ historyCount: Int
  ) {
    for i in 0..<vocab { values[i] = Double(logits[i]) }
    if let bias = options.logitBias {
      for i in 0..<vocab { values[i] += Double(bias[i]) }
    }
    let window = min(options.window, historyCount)
    let first = historyCount - window
    for i in first..<historyCount {
      let token = Int(history[i])
      guard token >= 0 && token < vocab && !seen[token] else { continue }
      seen[token] = true
      let value = values[token]
      values[token] =
        value > 0 ? value / options.repetitionPenalty : value * options.repetitionPenalty
    }
    for i in first..<historyCount {
      let token = Int(history[i])
      if token >= 0 && token < vocab { seen[token] = false }
    }
  }

  /// The largest value; the smallest id among equals. NaN (an infinite bias against an infinite
  /// logit) loses.
  private func argmax() -> Int {
    var best = 0
    for i in 0..<vocab {
      if values[i].isNaN { values[i] = -.infinity }
      if values[i] > values[best] { best = i }
    }
    return best
  }

  private func exponentiate(maximum: Double, temperature: Double) {
    for i in 0..<vocab { values[i] = exp((values[i] - maximum) / temperature) }
  }

  /// Without top-k and top-p nothing needs an order: the inverse of the distribution function, by
  /// token id.
  private func drawAll(_ minP: Double, _ u: Double) -> Int {
    // The largest value is exp(0) = 1, so minP is the bound itself.
    var total = 0.0
    for i in 0..<vocab where values[i] >= minP { total += values[i] }
    var sum = 0.0
    var last = 0
    for i in 0..<vocab where values[i] >= minP && values[i] > 0 {
      sum += values[i]
      last = i
      if sum > u * total { break }
    }
    return last
  }

  /// Takes candidates best first from a heap, no more than the cuts can keep, and draws among them.
  private func drawOrdered(_ options: SamplingOptions, _ u: Double) -> Int {
    var total = 0.0
    for i in 0..<vocab {
      order[i] = Int32(i)
      total += values[i]
    }
    for root in stride(from: vocab / 2 - 1, through: 0, by: -1) { siftDown(root, vocab) }
    let cutsCount = options.topK > 0 && options.topK < vocab
    let limit = cutsCount ? options.topK : vocab
    let topP = options.topP > 0 ? options.topP : 1
    var taken = 0
    var sum = 0.0
    while taken < limit && (cutsCount || sum < topP * total) {
      let value = values[Int(order[0])]
      if value == 0 { break }
      order.swapAt(0, vocab - 1 - taken)
      taken += 1
      siftDown(0, vocab - taken)
      sum += value
    }
    // Top-p is a share of what top-k left.
    let share = topP * (cutsCount ? sum : total)
    var kept = 0
    var mass = 0.0
    while kept < taken && (kept == 0 || mass < share) {
      let value = values[candidate(kept)]
      if value < options.minP { break }
      mass += value
      kept += 1
    }
    var running = 0.0
    for rank in 0..<kept {
      running += values[candidate(rank)]
      if running > u * mass { return candidate(rank) }
    }
    return candidate(kept - 1)
  }

  /// The token of rank `rank` among those taken, 0 = best.
  private func candidate(_ rank: Int) -> Int { Int(order[vocab - 1 - rank]) }

  /// Restores the heap order[0..<count] below `root`: larger values first, smaller ids among
  /// equals.
  private func siftDown(_ root: Int, _ count: Int) {
    var parent = root
    while true {
      var first = parent
      let left = 2 * parent + 1
      if left < count && isBefore(left, first) { first = left }
      if left + 1 < count && isBefore(left + 1, first) { first = left + 1 }
      if first == parent { return }
      order.swapAt(parent, first)
      parent = first
    }
  }

  private func isBefore(_ a: Int, _ b: Int) -> Bool {
    let (x, y) = (values[Int(order[a])], values[Int(order[b])])
    return x != y ? x > y : order[a] < order[b]
  }
}
