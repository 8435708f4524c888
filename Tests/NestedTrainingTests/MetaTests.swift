import NestedBase
import NestedModels
import NestedTensor
import NestedTraining
import Oracle
import Testing

/// Outer training whose rows learn as sessions do (SPEC 3, `cms.meta`).
@Suite struct MetaTests {
  struct Case: Sendable, CustomStringConvertible {
    let name: String
    let options: OracleOptions
    var description: String { name }

    init(_ name: String, _ change: (inout OracleOptions) -> Void) {
      var o = OracleOptions()
      (o.vocab, o.layers, o.heads, o.headDim, o.etaMax, o.meta) = (13, 2, 2, 8, 0.5, .firstOrder)
      (o.memoryChunk, o.projectionChunk) = (5, 7)
      o.levels = [
        .init(chunk: 4, hidden: 12, lr: 0.1), .init(chunk: 12, hidden: 10, lr: 0.1), .init(chunk: 0, hidden: 8),
      ]
      change(&o)
      self.name = name
      options = o
    }

    static let all: [Case] = [
      Case("sequential") { _ in },
      Case("segments of 2") { o in o.segment = 2 },
      Case("nested, gelu, untied") { o in (o.variant, o.feed, o.tied) = (.nested, .gelu, false) },
      Case("independent") { o in o.variant = .independent },
      Case("momentum and adamw") { o in
        (o.levels[0].optimizer, o.levels[0].lr) = (.momentum, 0.02)
        (o.levels[1].optimizer, o.levels[1].lr) = (.adamw, 0.003)
      },
      Case("nothing learns") { o in o.levels = [.init(chunk: 0, hidden: 12)] },
    ]
  }

  /// Tolerances of SPEC 6.
  @Test(arguments: Case.all, [1, 2, 5, 27])
  func lossAndGradientsAgreeWithTheOracle(_ c: Case, length: Int) throws {
    let o = c.options
    let values = o.randomParameters(seed: 601)
    var random = OracleRandom(602)
    let rows = (0..<2).map { _ in random.tokens(length, vocab: o.vocab) }
    let targets = (0..<2 * length).map { $0 % 5 == 3 ? -1 : random.token(o.vocab) }
    let weights = targets.map { _ in Double(Float(random.uniform())) }
    let model = try Model.matching(o, values)
    for given in [false, true] where given || length > 1 {
      let runs = rows.indices.map { i in
        let own = i * length..<(i + 1) * length
        return OracleHope.runAdapted(
          o, values, rows[i], targets: given ? Array(targets[own]) : nil,
          weights: given ? Array(weights[own]) : nil)
      }
      let got = try model.gradients(rows: rows, targets: given ? targets : nil, weights: given ? weights : nil)
      if !given {
        let loss = runs.reduce(0) { $0 + $1.losses.reduce(0, +) }
        #expect(abs(got.lossSum - loss) <= 1e-5 * loss)
      }
      for name in values.keys.sorted() {
        let goal = zip(runs[0].gradients[name]!, runs[1].gradients[name]!).map { $0 + $1 }
        let error = relativeError(got.gradients[name]!, goal)
        #expect(error <= 1e-4, "\(name), given: \(given)")
      }
    }
  }

  /// The loss of a row is what a session with learning on has on it, for every kind and variant.
  @Test(arguments: VariantTests.Case.all)
  func theLossIsASessionsLoss(_ c: VariantTests.Case) throws {
    let model = try c.model(seed: 611) { $0.cms.meta = .firstOrder }
    var random = OracleRandom(612)
    let text = random.tokens(61, vocab: 23)
    let session = try Session(model: model, learn: .on, seed: 0)
    let tokens = text.map { Int32($0) }
    let fed = try tokens.withUnsafeBufferPointer {
      try session.feed(
        tokens: Tokens($0.baseAddress!), count: 61, logits: nil, lastOnly: false, control: quiet)
    }
    let got = try model.gradients(rows: [text])
    #expect(abs(got.lossSum - 60 * fed.loss) <= 1e-5 * got.lossSum)
    // Rows do not see each other, and threads do not matter.
    let other = random.tokens(61, vocab: 23)
    let three = try Model(runtime: Runtime(threads: 3), configuration: model.configuration, seed: 1)
    try three.withMutableWeights { to in
      model.withWeights { (from: Floats) in to.copy(from: from, count: model.layout.count) }
    }
    let both = try model.gradients(rows: [other, text])
    #expect(try three.gradients(rows: [other, text]).gradients == both.gradients)
    #expect(try abs(both.lossSum - got.lossSum - model.gradients(rows: [other]).lossSum) <= 1e-9 * both.lossSum)
  }

  /// With learning rates of 0 it is ordinary training.
  @Test(arguments: VariantTests.Case.all)
  func learningRateZeroIsOrdinaryTraining(_ c: VariantTests.Case) throws {
    func made(_ meta: MetaLearning) throws -> Model {
      try c.model(seed: 621) { c in
        c.cms.meta = meta
        for l in c.cms.levels.indices { c.cms.levels[l].lr = 0 }
      }
    }
    var random = OracleRandom(622)
    let rows = (0..<3).map { _ in random.tokens(50, vocab: 23) }
    let plain = try made(.none).gradients(rows: rows), adapted = try made(.firstOrder).gradients(rows: rows)
    #expect(abs(adapted.lossSum - plain.lossSum) <= 1e-7 * plain.lossSum)
    for (name, gradient) in plain.gradients {
      #expect(relativeError(adapted.gradients[name]!, gradient) <= 1e-5, "\(name)")
    }
  }

  /// Initial weights: the loss falls, and steps are all or nothing.
  @Test(arguments: VariantTests.Case.all)
  func trains(_ c: VariantTests.Case) throws {
    let configuration = c.configuration { $0.cms.meta = .firstOrder }
    let model = try Model(runtime: Runtime(threads: 2), configuration: configuration, seed: 631)
    let trainer = try Trainer(model, #"{"schedule": {"type": "warmup", "warmup": 10}}"#)
    let text = Tiny.text(2000)
    let first = try trainer.fit(text, steps: 3, batch: 4, length: 32).loss
    _ = try trainer.fit(text, steps: 120, batch: 4, length: 32)
    let last = try trainer.fit(text, steps: 10, batch: 4, length: 32)
    #expect(last.skipped == 0 && last.loss < 0.9 * first, "\(first) → \(last.loss)")
    let before = try trainer.everything
    var reports = 0
    let stop = RunControl { (_, _, _, _) throws(NestedError) in
      reports += 1
      if reports == 9 { throw NestedError(.cancelled, "enough") }
    }
    #expect(throws: NestedError.self) { try trainer.step(Rows(Array(text[..<66]), batch: 2), stop) }
    #expect(try trainer.everything == before)
  }
}
