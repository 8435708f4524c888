import Glibc
import NestedBase
import NestedCheckpoint
import NestedLearning
import NestedModels
import NestedTensor
import NestedTraining
import Oracle
import Testing

/// What every kind must do (SPEC 1, 5, 6): agree with the float64 oracle in values and gradients, be the same as a stream
/// and as a batch, and give the same bits however it is cut, saved, forked or shared out.
@Suite struct KindTests {
  private func tokens(_ count: Int, _ seed: UInt64) -> [Int] {
    var random = OracleRandom(seed)
    return random.tokens(count, vocab: KindCase.sizes.vocab)
  }
  private func bits(_ x: [Float]) -> [UInt32] { x.map(\.bitPattern) }

  @Test(arguments: KindCase.all)
  func valuesAndGradientsAgreeWithTheOracle(_ c: KindCase) throws {
    let model = try c.model(seed: 401)
    for length in c.lengths {
      let rows = [tokens(length, 402), tokens(length, 403)]
      let run = OracleNetwork.run(KindCase.sizes, model.named, rows: rows, gradients: true, c.mixer)
      #expect(relativeError(try model.logits(rows: rows), run.logits) <= c.valueTolerance, "T = \(length)")
      if length == 1 { continue }
      let got = try model.gradients(rows: rows)
      #expect(abs(got.lossSum - run.loss) <= c.valueTolerance * run.loss)
      for (name, gradient) in run.gradients {
        #expect(
          relativeError(got.gradients[name]!, gradient) <= c.gradientTolerance, "\(name), T = \(length)")
      }
    }
  }

  /// Over lengths that span several blocks of keys, chunks and segments.
  @Test(arguments: KindCase.all)
  func aStreamIsTheBatch(_ c: KindCase) throws {
    let model = try c.model(seed: 411)
    let text = tokens(300, 412)
    let stream = try Session(model: model, learn: .memory, seed: 0).read(text)
    #expect(relativeError(stream.map { Double($0) }, try model.logits(rows: [text])) <= 1e-5)
  }

  @Test(arguments: KindCase.all, [LearnMode.on, .memory, .off])
  func theCutIntoCallsDoesNotMatter(_ c: KindCase, mode: LearnMode) throws {
    let model = try c.model(seed: 421)
    let text = tokens(200, 422)
    let whole = try Session(model: model, learn: mode, seed: 0)
    let all = try whole.read(text)
    for pieces in [[1], [7, 1, 25], [16], [100, 3]] {
      let cut = try Session(model: model, learn: mode, seed: 0)
      #expect(bits(try cut.read(text, pieces: pieces)) == bits(all))
      #expect(try cut.online == whole.online)
      #expect(try cut.snapshot().bytes() == whole.snapshot().bytes())
    }
  }

  /// With levels: every token's logits while they learn, and what they have learnt. Tolerances of SessionOracleTests.
  @Test(arguments: KindCase.all.filter { $0.json.contains("hope") })
  func learningStreamsAgreeWithTheOracle(_ c: KindCase) throws {
    let model = try c.model(seed: 451)
    let text = tokens(101, 452)
    let configuration = model.configuration
    let levels = configuration.levels.map {
      OracleOptions.Level(
        chunk: $0.chunk, hidden: $0.hidden, optimizer: .init(rawValue: $0.optimizer.rawValue)!,
        lr: Double($0.lr), clip: Double($0.clip))
    }
    let start = model.named
    let goal = OracleNetwork.learn(
      KindCase.sizes, start, text, levels: levels, segment: configuration.segment,
      variant: .init(rawValue: configuration.cms.variant.rawValue)!, c.mixer)
    let session = try Session(model: model, learn: .on, seed: 0)
    let got = try session.read(text, pieces: [1, 17, 5])
    #expect(relativeError(got.map { Double($0) }, goal.logits) <= 1e-5)
    let online = try session.online
    #expect(session.updates > 0)
    #expect(changeError(online, goal.values, from: start) <= 1e-3)
  }

  @Test(arguments: KindCase.all)
  func threadsAndBatchesDoNotMatter(_ c: KindCase) throws {
    let one = try c.model(seed: 431), three = try c.model(seed: 431, threads: 3)
    let rows = (0..<5).map { tokens(70, 432 + UInt64($0)) }
    let logits = try one.logits(rows: rows)
    #expect(try three.logits(rows: rows) == logits)
    #expect(try rows.flatMap { try three.logits(rows: [$0]) } == logits)
    #expect(try one.gradients(rows: rows).gradients == three.gradients(rows: rows).gradients)
  }

  /// Saved anywhere, loaded, forked, and gone on with: as if nothing had happened.
  @Test(arguments: KindCase.all, [0, 1, 16, 61, 130])
  func savedForkedAndContinued(_ c: KindCase, at: Int) throws {
    let model = try c.model(seed: 441)
    let text = tokens(230, 442)
    for mode in [LearnMode.on, .memory] {
      let session = try Session(model: model, learn: mode, seed: 9)
      try session.read(Array(text[..<at]), pieces: [9])
      let loaded = try Session(model: model, learn: .memory, seed: 0)
      try loaded.restore(SessionState(model: model, bytes: session.snapshot().bytes()))
      let fork = try session.fork()
      let rest = Array(text[at...])
      try session.fork().read(tokens(50, 443))  // another's future
      let goal = bits(try session.read(rest))
      #expect(bits(try loaded.read(rest, pieces: [13])) == goal)
      #expect(bits(try fork.read(rest, pieces: [1, 30])) == goal)
      #expect(try loaded.snapshot().bytes() == session.snapshot().bytes())
    }
  }

  /// Initial weights, default options, a text with order in it: the loss falls and stays finite.
  @Test(arguments: KindCase.all)
  func trains(_ c: KindCase) throws {
    let model = try Model(runtime: Runtime(threads: 2), configuration: c.configuration, seed: 3)
    var text: [Int32] = []
    for i in 0..<2000 { text.append(Int32((i * i / 7 + i) % 11)) }
    let trainer = try Trainer(model: model, options: Array("{}".utf8))
    let first = try trainer.fit(text, steps: 5, batch: 4, length: 32).loss
    _ = try trainer.fit(text, steps: 100, batch: 4, length: 32)
    let last = try trainer.fit(text, steps: 20, batch: 4, length: 32)
    #expect(last.skipped == 0 && last.loss < 0.8 * first, "\(first) → \(last.loss)")
  }
}
