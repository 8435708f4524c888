import NestedBase
import Testing

@testable import NestedTraining

@Suite struct SamplerTests {
  /// Draws with a fresh position each, and counts.
  private func histogram(
    _ logits: [Float], _ options: SamplingOptions, history: [Int32] = [], draws: Int = 40_000
  ) throws -> [Int] {
    let sampler = Sampler(vocab: logits.count)
    var counts = [Int](repeating: 0, count: logits.count)
    for position in 0..<draws {
      counts[Int(try draw(sampler, logits, options, history, position: position).token)] += 1
    }
    return counts
  }

  private func draw(
    _ sampler: Sampler, _ logits: [Float], _ options: SamplingOptions, _ history: [Int32] = [],
    seed: UInt64 = 17, position: Int = 0
  ) throws -> Sampler.Draw {
    var values = logits
    let past = history + [0]
    return try values.withUnsafeMutableBufferPointer { buffer in
      try past.withUnsafeBufferPointer { past in
        try sampler.sample(
          logits: Floats(buffer.baseAddress!), options: options, history: Tokens(past.baseAddress!),
          historyCount: history.count, seed: seed, position: position)
      }
    }
  }

  private func softmax(_ x: [Double]) -> [Double] {
    let top = x.max() ?? 0
    let e = x.map { expDouble($0 - top) }
    let sum = e.reduce(0, +)
    return e.map { $0 / sum }
  }

  /// χ² of counts against probabilities; a count where the probability is 0 is infinite.
  private func chiSquare(_ counts: [Int], _ p: [Double]) -> Double {
    let draws = Double(counts.reduce(0, +))
    return zip(counts, p).reduce(0.0) { sum, cell in
      let expected = cell.1 * draws
      if expected == 0 { return cell.0 == 0 ? sum : .infinity }
      return sum + (Double(cell.0) - expected) * (Double(cell.0) - expected) / expected
    }
  }

  private let logits: [Float] = [0.3, -1.2, 2.0, 0.9, -0.4, 1.5, 0.0, -2.5, 1.1, 0.6]
  // 9 degrees of freedom: P(χ² above) = 1e-5. Fewer cells give smaller values.
  private let bound = 39.4

  @Test func defaultDrawsTheModelsDistribution() throws {
    let p = softmax(logits.map(Double.init))
    #expect(chiSquare(try histogram(logits, SamplingOptions()), p) < bound)
  }

  @Test(arguments: [0.25, 0.7, 3.0]) func temperatureSharpensAndFlattens(temperature: Double) throws
  {
    var options = SamplingOptions()
    options.temperature = temperature
    let p = softmax(logits.map { Double($0) / temperature })
    #expect(chiSquare(try histogram(logits, options), p) < bound)
  }

  @Test(arguments: [1, 3, 9, 10, 99]) func topKKeepsTheKLargest(k: Int) throws {
    var options = SamplingOptions()
    options.topK = k
    let kept = Set(logits.indices.sorted { logits[$0] > logits[$1] }.prefix(k))
    let p = softmax(logits.indices.map { kept.contains($0) ? Double(logits[$0]) : -.infinity })
    #expect(chiSquare(try histogram(logits, options), p) < bound)
  }

  @Test(arguments: [0.01, 0.5, 0.9, 0.999, 1.0]) func topPKeepsTheSmallestSetThatReachesIt(
    share: Double
  ) throws {
    var options = SamplingOptions()
    options.topP = share
    let all = softmax(logits.map(Double.init))
    var sum = 0.0
    var kept: Set<Int> = []
    for i in all.indices.sorted(by: { all[$0] > all[$1] }) where sum < share {
      kept.insert(i)
      sum += all[i]
    }
    let p = softmax(logits.indices.map { kept.contains($0) ? Double(logits[$0]) : -.infinity })
    #expect(chiSquare(try histogram(logits, options), p) < bound)
  }

  @Test func topPIsAShareOfWhatTopKLeft() throws {
    var options = SamplingOptions()
    options.topK = 4
    options.topP = 0.6
    // The four largest are 2.0, 1.5, 1.1, 0.9: shares 0.42, 0.25, 0.17, 0.14; two of them reach
    // 0.6.
    let p = softmax(logits.map { $0 >= 1.5 ? Double($0) : -.infinity })
    #expect(chiSquare(try histogram(logits, options), p) < bound)
  }

  @Test(arguments: [false, true]) func minPCutsBelowAFractionOfTheBest(withTopK: Bool) throws {
    var options = SamplingOptions()
    options.minP = 0.3  // ln 0.3 = -1.2: logits from 0.8 on
    options.topK = withTopK ? 9 : 0
    let p = softmax(logits.map { $0 >= 0.8 ? Double($0) : -.infinity })
    #expect(chiSquare(try histogram(logits, options), p) < bound)
  }

  @Test func repetitionPenaltyCountsATokenOnceAndOnlyInItsWindow() throws {
    var options = SamplingOptions()
    options.repetitionPenalty = 2
    options.repetitionWindow = 4
    // Token 3 is too far back; 2 (positive) is halved, 1 (negative) doubled, ids of no token are
    // passed over.
    let history: [Int32] = [3, 2, 2, 1, -1]
    var expected = logits.map(Double.init)
    expected[2] /= 2
    expected[1] *= 2
    #expect(chiSquare(try histogram(logits, options, history: history), softmax(expected)) < bound)
    options.repetitionWindow = 0  // 64
    expected[3] /= 2
    #expect(chiSquare(try histogram(logits, options, history: history), softmax(expected)) < bound)
  }

  @Test func biasAddsAndForbids() throws {
    var bias: [Float] = [0, 0, -.infinity, 0, 2, 0, 0, 0, 0, 0]
    try bias.withUnsafeMutableBufferPointer { (buffer) throws in
      var options = SamplingOptions()
      options.logitBias = Floats(buffer.baseAddress!)
      var expected = logits.map(Double.init)
      expected[2] = -.infinity
      expected[4] += 2
      let counts = try histogram(logits, options)
      #expect(chiSquare(counts, softmax(expected)) < bound)
      for i in 0..<10 { buffer[i] = -.infinity }
      let error = #expect(throws: NestedError.self) {
        try draw(Sampler(vocab: 10), logits, options)
      }
      #expect(error?.code == .numeric)
    }
  }

  @Test func greedyTakesTheLargestAndTheSmallestIdOfEquals() throws {
    var options = SamplingOptions()
    options.temperature = 0
    let sampler = Sampler(vocab: 5)
    #expect(try draw(sampler, [1, 3, 2, 3, 0], options).token == 1)
    #expect(try draw(sampler, [-5, -5, -5, -5, -5], options).token == 0)
    #expect(try draw(sampler, [-.infinity, -.infinity, -9, -9, -.infinity], options).token == 2)
  }

  @Test func equalLogitsAreCutBySmallestIdFirst() throws {
    var options = SamplingOptions()
    options.topK = 3
    let counts = try histogram([Float](repeating: 0.5, count: 9), options, draws: 5000)
    #expect(counts[3...].allSatisfy { $0 == 0 })
    #expect(chiSquare(Array(counts.prefix(3)), [1 / 3, 1 / 3, 1 / 3]) < bound)
  }

  @Test func logprobIsThatOfTheModelWhateverTheOptions() throws {
    var options = SamplingOptions()
    options.temperature = 0.1
    options.topK = 1
    let p = softmax(logits.map(Double.init))
    let draw = try draw(Sampler(vocab: 10), logits, options)
    #expect(draw.token == 2)
    #expect(abs(draw.logprob - logDouble(p[2])) < 1e-6)
  }

  @Test func drawDependsOnSeedAndPositionAndNothingElse() throws {
    let options = SamplingOptions()
    let first = Sampler(vocab: 10)
    let second = Sampler(vocab: 10)
    for position in [5, 3, 9, 3, 0] {  // the second sampler has another past
      _ = try draw(second, logits.reversed(), options, position: position + 100)
    }
    let a = try (0..<64).map { try draw(first, logits, options, position: $0) }
    let b = try (0..<64).reversed().map { try draw(second, logits, options, position: $0) }
    #expect(a == b.reversed())
    let c = try (0..<64).map { try draw(first, logits, options, seed: 18, position: $0) }
    #expect(a != c)
  }

  @Test(arguments: [Float.nan, .infinity]) func logitsThatAreNoNumbersAreRefused(bad: Float) {
    let sampler = Sampler(vocab: 3)
    let error = #expect(throws: NestedError.self) {
      try draw(sampler, [0, bad, 1], SamplingOptions())
    }
    #expect(error?.code == .numeric)
    #expect(throws: NestedError.self) {
      try draw(sampler, [-.infinity, -.infinity, -.infinity], SamplingOptions())
    }
    // The refusal leaves nothing behind.
    #expect(throws: Never.self) { try draw(sampler, [0, 1, 2], SamplingOptions()) }
  }

  @Test func valuesOutOfRangeNameTheirField() {
    let changes: [(String, (inout SamplingOptions) -> Void)] = [
      ("temperature", { $0.temperature = -1 }), ("temperature", { $0.temperature = .nan }),
      ("top_k", { $0.topK = -1 }), ("top_p", { $0.topP = 1.1 }), ("min_p", { $0.minP = .nan }),
      ("repetition_penalty", { $0.repetitionPenalty = -2 }),
      ("repetition_window", { $0.repetitionWindow = -1 }),
      ("stop_tokens", { $0.stopTokens = [10] }),
    ]
    for (place, change) in changes {
      var options = SamplingOptions()
      change(&options)
      let error = #expect(throws: NestedError.self) { try options.validate(vocab: 10) }
      #expect(error?.code == .range)
      #expect(error?.place == place)
    }
    #expect(throws: Never.self) { try SamplingOptions().validate(vocab: 10) }
  }

  /// A large vocabulary: the heap against a sort.
  @Test func cutsOfALargeVocabularyAreThoseOfASort() throws {
    let random = Philox(seed: 1, stream: 0)
    // Few distinct values: many ties at the cut.
    let logits = (0..<5003).map { Float(random.index(below: 40, at: UInt64($0))) / 8 }
    let order = logits.indices.sorted { (logits[$0], -$0) > (logits[$1], -$1) }
    var options = SamplingOptions()
    options.topK = 700
    let kept = Set(order.prefix(700))
    let sampler = Sampler(vocab: logits.count)
    for position in 0..<500 {
      #expect(kept.contains(Int(try draw(sampler, logits, options, position: position).token)))
    }
  }
}
