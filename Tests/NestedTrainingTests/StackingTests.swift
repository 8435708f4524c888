import NestedBase
import NestedModels
import NestedTensor
import NestedTraining
import Oracle
import Testing

/// A Transformer that is given levels (SPEC 3, paper.md 3.4): the same model, until it learns.
@Suite struct StackingTests {
  static let plans: [(levels: [LevelConfiguration], pretrained: Int)] = [
    ([LevelConfiguration(chunk: 8)], 0),
    ([LevelConfiguration(chunk: 8, lr: 0.05), LevelConfiguration(chunk: 16, hidden: 9, lr: 0.05)], 0),
    (
      [
        LevelConfiguration(chunk: 8, hidden: 5, lr: 0.05), LevelConfiguration(chunk: 16, hidden: 7, lr: 0.05),
        LevelConfiguration(chunk: 0),
      ], 2
    ),
  ]

  private func transformer(_ change: (inout ModelConfiguration) -> Void = { _ in }) throws -> Model {
    var c = ModelConfiguration(kind: .transformer)
    (c.vocab, c.dModel, c.nLayers, c.headDim, c.dFF, c.segment) = (23, 16, 2, 8, 20, 4)
    change(&c)
    return try Model(runtime: Runtime(threads: 2), configuration: c, seed: 701)
  }
  private func cms(_ plan: Int, _ change: (inout LevelConfiguration) -> Void = { _ in }) -> CMSConfiguration {
    var cms = CMSConfiguration()
    cms.levels = StackingTests.plans[plan].levels
    for l in cms.levels.indices { change(&cms.levels[l]) }
    return cms
  }
  private func tokens(_ count: Int, _ seed: UInt64) -> [Int] {
    var random = OracleRandom(seed)
    return random.tokens(count, vocab: 23)
  }
  private func bits(_ x: [Float]) -> [UInt32] { x.map(\.bitPattern) }

  /// Logits, and a stream that steps with learning rates of 0, bit for bit.
  @Test(arguments: plans.indices, [CMSVariant.sequential, .nested])
  func theStackedModelIsThePretrainedOne(plan: Int, variant: CMSVariant) throws {
    for tied in [true, false] {
      let model = try transformer { $0.tieEmbeddings = tied }
      var resting = cms(plan) { $0.lr = 0 }
      resting.variant = variant
      let stacked = try stackLevels(
        on: model, cms: resting, pretrained: StackingTests.plans[plan].pretrained, seed: 3, control: quiet)
      #expect(stacked.configuration.kind == .hopeAttention)
      #expect(stacked.configuration.levels[StackingTests.plans[plan].pretrained].hidden == 20)
      let rows = [tokens(40, 702), tokens(40, 703)]
      #expect(try stacked.logits(rows: rows).map(\.bitPattern) == model.logits(rows: rows).map(\.bitPattern))
      let session = try Session(model: stacked, learn: .on, seed: 0)
      let plain = try Session(model: model, learn: .memory, seed: 0)
      let text = tokens(130, 704)
      #expect(bits(try session.read(text, pieces: [7])) == bits(try plain.read(text)))
      #expect(session.updates > 0)
    }
  }

  /// It learns a text that repeats itself, in every level that has a period, better than the Transformer that cannot.
  @Test(arguments: plans.indices)
  func theStackedModelLearnsInASession(plan: Int) throws {
    let model = try transformer()
    let trainer = try Trainer(model, #"{"schedule": {"type": "constant"}}"#)
    _ = try trainer.fit(Tiny.text(3000), steps: 60, batch: 4, length: 32)
    let pretrained = StackingTests.plans[plan].pretrained
    let stacked = try stackLevels(on: model, cms: cms(plan), pretrained: pretrained, seed: 3, control: quiet)
    let session = try Session(model: stacked, learn: .on, seed: 0)
    let plain = try Session(model: model, learn: .on, seed: 0)
    let phrase = tokens(24, 711).map { Int32($0) }
    func read(_ session: Session) throws -> Double {
      var loss = 0.0
      for _ in 0..<60 {
        loss = try phrase.withUnsafeBufferPointer {
          try session.feed(
            tokens: Tokens($0.baseAddress!), count: 24, logits: nil, lastOnly: false, control: quiet
          ).loss
        }
      }
      return loss
    }
    let (learnt, before) = (try read(session), try read(plain))
    #expect(learnt < 0.9 * before, "\(before) → \(learnt)")
    for layer in 0..<2 {
      for (l, level) in stacked.configuration.levels.enumerated() {
        #expect((try session.levelInfo(layer: layer, level: l).deltaNorm > 0) == (level.chunk > 0))
      }
    }
    #expect(session.skipped == 0)
    // What it has learnt becomes a model, and a file.
    let merged = try consolidate(
      model: stacked, sessions: [session], options: ConsolidationOptions(), control: quiet)
    let loaded = try Model.load(runtime: model.runtime, bytes: merged.bytes())
    #expect(try loaded.logits(rows: [tokens(20, 712)]) == merged.logits(rows: [tokens(20, 712)]))
    #expect(try merged.logits(rows: [tokens(20, 712)]) != stacked.logits(rows: [tokens(20, 712)]))
  }

  @Test func whatCannotBeStackedIsRefused() throws {
    let model = try transformer()
    func refusal(_ model: Model, _ cms: CMSConfiguration, _ pretrained: Int = 0) -> (NestedError.Code, String)? {
      do throws(NestedError) {
        _ = try stackLevels(on: model, cms: cms, pretrained: pretrained, control: quiet)
        return nil
      } catch {
        return (error.code, error.place)
      }
    }
    #expect(refusal(try Tiny.model(), cms(1))! == (.unsupported, "model"))
    #expect(refusal(model, cms(1), 2)! == (.range, "pretrained"))
    #expect(refusal(model, cms(1), -1)! == (.range, "pretrained"))
    var wrong = cms(1)
    wrong.variant = .independent
    #expect(refusal(model, wrong)! == (.config, "/cms/variant"))
    wrong = cms(1)
    wrong.mlp = .gelu
    #expect(refusal(model, wrong)! == (.config, "/cms/mlp"))
    wrong = cms(1)
    wrong.levels[1].chunk = 12
    #expect(refusal(model, wrong)! == (.config, "/cms/levels/1/chunk"))
    wrong.levels = []
    #expect(refusal(model, wrong)! == (.range, "pretrained"))
    #expect(refusal(model, cms(2), 2) == nil)
  }
}
