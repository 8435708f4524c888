import NestedBase
import NestedLearning
import NestedModels
import NestedTensor
import NestedTraining
import Oracle
import Testing

/// The variants of a Continuum Memory System (SPEC 3), for both kinds that have one: what holds bit for bit, and what a
/// long stream does with default settings. Values and gradients are the oracle's business (HopeOracleTests, KindTests,
/// SessionOracleTests).
@Suite struct VariantTests {
  struct Case: Sendable, CustomStringConvertible {
    let kind: ModelKind
    let variant: CMSVariant
    var description: String { "\(kind.rawValue), \(variant.rawValue)" }

    static let all = [ModelKind.hope, .hopeAttention].flatMap { kind in
      CMSVariant.allCases.map { Case(kind: kind, variant: $0) }
    }

    /// Levels that step at every 8, 16 and 48 tokens, in segments of 4, each with an optimizer of its own.
    func configuration(_ change: (inout ModelConfiguration) -> Void = { _ in }) -> ModelConfiguration {
      var c = ModelConfiguration(kind: kind)
      (c.vocab, c.dModel, c.nLayers, c.headDim, c.segment) = (23, 16, 2, 8, 4)
      c.cms.variant = variant
      c.cms.levels = [
        LevelConfiguration(chunk: 8, hidden: 12, optimizer: .momentum, lr: 0.02),
        LevelConfiguration(chunk: 16, hidden: 9, optimizer: .adamw, lr: 0.002),
        LevelConfiguration(chunk: 48, hidden: 12, lr: 0.05), LevelConfiguration(chunk: 0, hidden: 8),
      ]
      change(&c)
      return c
    }

    func model(
      seed: UInt64, _ change: (inout ModelConfiguration) -> Void = { _ in }
    ) throws -> Model {
      let model = try Model(runtime: Runtime(threads: 1), configuration: configuration(change), seed: seed)
      let random = Philox(seed: seed, stream: 77)
      try model.withMutableWeights { w in
        for entry in model.layout.entries where entry.name.hasSuffix(".mix") {
          for i in 0..<entry.count { w[entry.offset + i] = Float(random.normal(at: UInt64(i))) }
        }
      }
      return model
    }
  }

  private func tokens(_ count: Int, _ seed: UInt64) -> [Int] {
    var random = OracleRandom(seed)
    return random.tokens(count, vocab: 23)
  }
  private func bits(_ x: [Float]) -> [UInt32] { x.map(\.bitPattern) }

  @Test(arguments: Case.all, [LearnMode.on, .memory])
  func theCutIntoCallsDoesNotMatter(_ c: Case, mode: LearnMode) throws {
    let model = try c.model(seed: 501)
    let text = tokens(220, 502)
    let whole = try Session(model: model, learn: mode, seed: 0)
    let all = bits(try whole.read(text))
    for pieces in [[1], [7, 1, 25], [4], [48, 3], [100]] {
      let cut = try Session(model: model, learn: mode, seed: 0)
      #expect(bits(try cut.read(text, pieces: pieces)) == all)
      #expect(try cut.snapshot().bytes() == whole.snapshot().bytes())
    }
  }

  /// Saved at every phase of the clock, up to the slowest level's second step.
  @Test(arguments: Case.all)
  func savedAnywhereLoadedAndContinued(_ c: Case) throws {
    let model = try c.model(seed: 511)
    let text = tokens(150, 512)
    let session = try Session(model: model, learn: .on, seed: 9)
    let end = try Session(model: model, learn: .on, seed: 9)
    let all = bits(try end.read(text))
    for at in 0..<text.count {
      if at <= 100 {
        let loaded = try Session(model: model, learn: .memory, seed: 0)
        try loaded.restore(SessionState(model: model, bytes: session.snapshot().bytes()))
        #expect(bits(try loaded.read(Array(text[at...]), pieces: [13])) == Array(all[(at * 23)...]), "at \(at)")
        #expect(try loaded.snapshot().bytes() == end.snapshot().bytes())
      }
      try session.read([text[at]])
    }
    #expect(try session.snapshot().bytes() == end.snapshot().bytes())
  }

  /// Variant nested: a level is the model's again, and its optimizer new, where the slower neighbour ticks and only there;
  /// what it has learnt is in the neighbour's step.
  @Test(arguments: Case.all.filter { $0.variant == .nested })
  func aNestedLevelRestartsWithItsNeighbour(_ c: Case) throws {
    let model = try c.model(seed: 551)
    let session = try Session(model: model, learn: .on, seed: 0)
    for position in 0...120 {
      try session.read(tokens(1, 552 + UInt64(position)))
      guard position > 0 else { continue }
      for (l, (period, parent)) in [(8, 16), (16, 48), (48, 0)].enumerated() {
        let info = try session.levelInfo(layer: 1, level: l)
        let steps = position / period
        #expect(info.updates == steps && info.lastUpdate == (steps > 0 ? steps * period : -1))
        let moved = parent == 0 ? steps > 0 : position % parent >= period
        #expect((info.deltaNorm > 0) == moved, "level \(l) at \(position)")
      }
    }
    // Frozen neighbours do not tick.
    try session.control(layer: nil, level: 1, frozen: true, learningRateScale: nil)
    try session.read(tokens(24, 553))
    #expect(try session.levelInfo(layer: 0, level: 0).deltaNorm > 0)
    #expect(session.position == 145)
  }

  /// A level that restarts leaves no trace in a snapshot or a fork made before, and refused memory loses nothing.
  @Test(arguments: Case.all.filter { $0.variant == .nested })
  func restartsAreAllOrNothing(_ c: Case) throws {
    let text = tokens(70, 561)
    let goal = try Session(model: c.model(seed: 562), learn: .on, seed: 0)
    let end = Array(bits(try goal.read(text)).suffix(23))
    var failures = 0
    while true {
      let model = try c.model(seed: 562)
      let session = try Session(model: model, learn: .on, seed: 0)
      try session.read(Array(text[..<14]))
      let fork = try session.fork(), before = try session.snapshot().bytes()
      model.runtime.budget.refuse(allocation: failures + 1)
      let isDone = (try? session.read(Array(text[14..<60]))) != nil
      model.runtime.budget.refuse(allocation: 0)
      #expect(try fork.snapshot().bytes() == before)
      #expect(Array(bits(try session.read(Array(text[session.position...]))).suffix(23)) == end)
      #expect(try session.snapshot().bytes() == goal.snapshot().bytes())
      if isDone { break }
      failures += 1
    }
    #expect(failures > 20)
  }

  /// Refused memory, anywhere: the session is what it would be after the tokens it has committed, and no level has learnt from
  /// the one that was to come.
  @Test(arguments: Case.all)
  func aFailedFeedHasLearntNothing(_ c: Case) throws {
    let text = tokens(60, 571)
    var goals: [[UInt8]] = []
    let steady = try Session(model: c.model(seed: 572), learn: .on, seed: 0)
    for token in text {
      goals.append(try steady.snapshot().bytes())
      try steady.read([token])
    }
    goals.append(try steady.snapshot().bytes())
    for pieces in [[46], [1]] {
      var failures = 0, boundaries = 0
      while true {
        let model = try c.model(seed: 572)
        let session = try Session(model: model, learn: .on, seed: 0)
        try session.read(Array(text[..<14]))
        model.runtime.budget.refuse(allocation: failures + 1)
        let isDone = (try? session.read(Array(text[14...]), pieces: pieces)) != nil
        model.runtime.budget.refuse(allocation: 0)
        #expect(try session.snapshot().bytes() == goals[session.position], "allocation \(failures + 1)")
        if isDone { break }
        failures += 1
        if session.position % 8 == 0 { boundaries += 1 }
      }
      #expect(failures > 20 && boundaries > 5)
    }
  }

  /// paper.md 3.4: whatever the variant, learning rates of 0 leave the model as it is, bit for bit.
  @Test(arguments: Case.all)
  func learningRateZeroIsThePretrainedModel(_ c: Case) throws {
    let model = try c.model(seed: 521) { c in
      for l in c.cms.levels.indices { c.cms.levels[l].lr = 0 }
    }
    let text = tokens(130, 522)
    let learning = try Session(model: model, learn: .on, seed: 0)
    let plain = try Session(model: model, learn: .memory, seed: 0)
    #expect(bits(try learning.read(text)) == bits(try plain.read(text)))
    #expect(learning.updates > 0)
  }

  /// K = 1, chunk 0, swiglu: the Transformer's feed-forward, exactly.
  @Test(arguments: CMSVariant.allCases)
  func oneLevelThatRestsIsTheFeedForward(variant: CMSVariant) throws {
    var c = ModelConfiguration(kind: .transformer)
    (c.vocab, c.dModel, c.nLayers, c.headDim, c.dFF) = (23, 16, 2, 8, 20)
    let transformer = try Model(runtime: Runtime(threads: 1), configuration: c, seed: 531)
    c.kind = .hopeAttention
    c.cms.variant = variant
    c.cms.levels = [LevelConfiguration(chunk: 0, hidden: 20)]
    let hope = try Model(runtime: Runtime(threads: 1), configuration: c, seed: 532)
    let weights = transformer.named
    try hope.withMutableWeights { w in
      for entry in hope.layout.entries {
        let name = entry.name.hasSuffix(".mix") ? nil : entry.name.replacing("cms.0", with: "ffn")
        for i in 0..<entry.count { w[entry.offset + i] = name.map { Float(weights[$0]![i]) } ?? 0.7 }
      }
    }
    let rows = [tokens(37, 533), tokens(37, 534)]
    #expect(try hope.logits(rows: rows) == transformer.logits(rows: rows))
    let (a, b) = (try hope.gradients(rows: rows).gradients, try transformer.gradients(rows: rows).gradients)
    for (name, gradient) in b { #expect(a[name.replacing("ffn", with: "cms.0")] == gradient) }
    let stream = try Session(model: hope, learn: .on, seed: 0).read(rows[0], pieces: [5])
    #expect(bits(stream) == bits(try Session(model: transformer, learn: .on, seed: 0).read(rows[0])))
  }

  /// Default settings, but for the size: 10⁵ tokens with some order in them.
  @Test(arguments: Case.all)
  func aLongStreamStaysFinite(_ c: Case) throws {
    var configuration = ModelConfiguration(kind: c.kind)
    (configuration.vocab, configuration.dModel, configuration.nLayers) = (23, 16, 2)
    configuration.cms.variant = c.variant
    if c.kind == .hopeAttention { configuration.window = 64 }
    let model = try Model(runtime: Runtime(threads: 2), configuration: configuration, seed: 541)
    let session = try Session(model: model, learn: .on, seed: 0)
    for part in 0..<100 {
      let text = Tiny.text(1000, seed: UInt64(part)).map { Int($0) }
      #expect(try session.read(text).allSatisfy(\.isFinite))
    }
    #expect(session.position == 100_000 && session.skipped == 0)
    #expect(session.updates == 2 * (99_999 / 64 + 99_999 / 1024))
  }
}
