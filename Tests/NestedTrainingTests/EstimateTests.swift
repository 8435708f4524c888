import NestedBase
import NestedModels
import NestedTensor
import Oracle
import Testing

@testable import NestedTraining

/// What is estimated against what is then taken, in models that are made.
@Suite struct EstimateTests {
  /// Every kind that predicts tokens, the variants that make sessions larger among them.
  static let configurations =
    ModelKind.allCases.filter { $0.isBuilt && !$0.readsVectors }.map {
      #"{"kind": "\#($0.rawValue)", "vocab": 97, "d_model": 48, "n_layers": 2, "n_heads": 3}"#
    } + [
      hope(#", "memory": {"type": "mlp"}"#),
      hope(#", "cms": {"meta": "first-order", "levels": [{"chunk": 8, "hidden": 32, "optimizer": "m3"}, {"chunk": 24, "hidden": 16}]}"#),
      hope(#", "cms": {"variant": "nested", "levels": [{"chunk": 8, "hidden": 32}, {"chunk": 16, "hidden": 16}]}"#),
      #"{"kind": "titans", "vocab": 64, "d_model": 32, "n_layers": 2, "titans": {"mode": "mac", "segment": 16}}"#,
      #"{"kind": "titans", "vocab": 64, "d_model": 32, "n_layers": 2, "titans": {"mode": "mag", "window": 8, "chunk": 4}}"#,
      #"{"kind": "transformer", "vocab": 300, "d_model": 64, "n_layers": 1, "n_kv_heads": 1, "tie_embeddings": false}"#,
    ]

  static let labelled = [
    #"{"kind": "cms", "inputs": 70, "classes": 11, "d_model": 48}"#,
    #"{"kind": "cms", "inputs": 9, "task": "regress", "outputs": 5, "d_model": 32, "head": {"optimizer": "adamw"}}"#,
    #"{"kind": "cms", "inputs": 30, "classes": 0, "d_model": 48}"#,
    #"{"kind": "transformer", "task": "classify", "classes": 7, "vocab": 97, "d_model": 48, "n_layers": 2}"#,
    #"{"kind": "hope", "task": "regress", "outputs": 6, "vocab": 50, "d_model": 32, "n_layers": 2, "cms": {"levels": [{"chunk": 8, "hidden": 32, "optimizer": "m3"}, {"chunk": 24, "hidden": 16}]}}"#,
    #"{"kind": "titans", "task": "classify", "classes": 4, "vocab": 64, "d_model": 32, "n_layers": 2, "titans": {"mode": "mac", "segment": 16}}"#,
  ]

  private static func hope(_ more: String) -> String {
    #"{"kind": "hope", "vocab": 50, "d_model": 32, "n_layers": 2\#(more)}"#
  }

  @Test(arguments: configurations, [(1, 40), (3, 41)])
  func estimatesAreWhatIsTaken(_ json: String, _ shape: (batch: Int, length: Int)) throws {
    try check(ModelConfiguration(json: json), shape.batch, shape.length)
  }

  @Test func aRealSizeIsEstimated() throws {
    try check(ModelConfiguration.preset("hope-10m"), 2, 128)
  }

  /// More rows than one group of the batch holds, the last group a smaller one.
  @Test func groupsOfRowsAreEstimated() throws {
    try check(ModelConfiguration(json: EstimateTests.configurations[0]), 11, 1030)
  }

  private func check(_ configuration: ModelConfiguration, _ batch: Int, _ length: Int) throws {
    let estimate = try Estimate(configuration, batch: batch, length: length)
    for threads in [1, 2] {
      let runtime = try Runtime(threads: threads)
      let budget = runtime.budget
      let model = try Model(runtime: runtime, configuration: configuration, seed: 1)
      let weights = budget.current.inUse
      #expect(estimate.parameters == model.layout.count && weights == estimate.weightBytes)

      let trainer = try Trainer(model: model, options: [])
      let ready = budget.current.inUse
      #expect(estimate.trainerBytes == ready - weights)
      let tokens = (0..<batch * length).map { Int32($0 * 7 % configuration.vocab) }
      let result = try tokens.withUnsafeBufferPointer {
        try trainer.step(
          .init(tokens: Tokens($0.baseAddress!), batch: batch, length: length), control: .none)
      }
      #expect(result.applied)
      #expect(near(estimate.activationBytes, budget.current.peak - ready))
      #expect(near(estimate.flopsTrain, 2 * runtime.multiplyAdds / Double(batch * length)))
      if threads > 1 { continue }
      let stream = (0..<max(length, longestPeriod(configuration)) + 1).map { Int32($0 % configuration.vocab) }
      let session = try Session(
        model: model, learn: configuration.levels.isEmpty ? .memory : .on, seed: 0)
      try stream.withUnsafeBufferPointer {
        _ = try session.feed(
          tokens: Tokens($0.baseAddress!), count: $0.count, logits: nil, lastOnly: true, control: .none)
      }
      let there = try Estimate(configuration, batch: 1, length: stream.count)
      #expect(near(there.sessionBytes, session.stateBytes))
    }
  }

  /// Classifiers and regressions: rows with a label each; a stream whose levels were taught first.
  @Test(arguments: labelled, [(1, 40), (3, 41), (9, 1)])
  func labelledRowsAreEstimated(_ json: String, _ shape: (batch: Int, length: Int)) throws {
    let configuration = try ModelConfiguration(json: json)
    let estimate = try Estimate(configuration, batch: shape.batch, length: shape.length)
    let runtime = try Runtime(threads: 2)
    let budget = runtime.budget
    let model = try Model(runtime: runtime, configuration: configuration, seed: 1)
    let weights = budget.current.inUse
    #expect(estimate.parameters == model.layout.count && weights == estimate.weightBytes)
    do {
      let trainer = try Trainer(model: model, options: [])
      let ready = budget.current.inUse
      #expect(estimate.trainerBytes == ready - weights)
      if configuration.outputCount > 0 {
        let rows = try LabelledRows(rows(configuration, shape.batch, shape.length))
        let result = try withExtendedLifetime(rows) { try trainer.step(rows.batch, control: quiet) }
        #expect(result.applied)
        #expect(near(estimate.activationBytes, budget.current.peak - ready))
        #expect(near(estimate.flopsTrain, 2 * runtime.multiplyAdds / Double(shape.batch * shape.length)))
      }
    }
    let session = try Session(model: model, learn: .on, seed: 0)
    for _ in 0...(configuration.periods.max() ?? 0) { try session.teach(rows(configuration, 1, 1)) }
    #expect(session.updates > 0)
    let stream = try LabelledRows(rows(configuration, 1, 300))
    try withExtendedLifetime(stream) {
      _ = try session.feed(stream.input, count: 300, outputs: nil, lastOnly: true, control: quiet)
    }
    let there = try Estimate(configuration, batch: 1, length: 300)
    #expect(near(there.sessionBytes, session.stateBytes))
  }

  private func rows(_ c: ModelConfiguration, _ count: Int, _ length: Int) -> [OracleRow] {
    (0..<count).map { row in
      var made = OracleRow(
        c.kind.readsVectors
          ? .vectors((0..<length).map { i in (0..<c.inputs).map { Double((i + $0) % 5) } })
          : .tokens((0..<length).map { ($0 * 7 + row) % c.vocab }))
      made.perRow = true
      if c.task == .classify { made.classes = [0] } else { made.numbers = [[Double](repeating: 0.5, count: c.outputs)] }
      return made
    }
  }

  private func longestPeriod(_ c: ModelConfiguration) -> Int { c.levels.map(\.chunk).max() ?? 0 }

  private func near(_ estimate: some BinaryInteger, _ measured: Int) -> Bool {
    near(Double(estimate), Double(measured))
  }
  private func near(_ estimate: Double, _ measured: Double) -> Bool {
    abs(estimate - measured) <= 0.05 * measured
  }

  /// A transformer's products by hand: its matrices for every token, and the keys that come before.
  @Test func flopsAreThoseOfTheProducts() throws {
    let c = try ModelConfiguration(
      json: #"{"kind": "transformer", "vocab": 97, "d_model": 48, "n_layers": 2, "n_heads": 3, "d_ff": 80}"#)
    let length = 21
    let matrices = Double(2 * (4 * 48 * 48 + 3 * 48 * 80) + 97 * 48)
    let attention = Double(2 * 48 * (length + 1) / 2)  // scores of a token, on average
    let estimate = try Estimate(c, batch: 1, length: length)
    #expect(estimate.flopsForward == 2 * (matrices + 2 * attention))
    #expect(estimate.flopsTrain == 2 * (3 * matrices + 7 * attention))
  }

  /// Longer than anybody has memory for, and wider: figures, or an error.
  @Test func nothingIsTooLarge() throws {
    let wide = try ModelConfiguration(
      json: #"{"kind": "hope", "vocab": 1000000, "d_model": 4096, "n_layers": 64, "n_heads": 64}"#)
    let estimate = try Estimate(wide, batch: 1 << 40, length: 512)
    #expect(estimate.parameters > 20_000_000_000 && estimate.activationBytes > 1 << 36)
    let long = try Estimate(try .preset("titans-1m"), batch: 1, length: 1 << 18)
    #expect(long.activationBytes > 1 << 34)
  }
}
