import NestedBase
import NestedCheckpoint
import NestedModels
import NestedTensor
import NestedTraining
import Oracle
import Testing

/// The rows of the paper's ablation of Hope (paper.md 6.5, Table 6) as configurations: the table of NestedModels/README.md.
/// Each is what it says (the float64 oracle has the same part taken out) and trains.
@Suite struct AblationTests {
  struct Row: Sendable, CustomStringConvertible {
    let name: String
    /// Keys of the table, on top of `full`.
    let json: String
    let oracle: @Sendable (inout OracleOptions) -> Void
    var description: String { name }
  }

  /// Hope with everything in it that a row takes out.
  private static let full =
    #"{"kind": "hope", "vocab": 13, "memory": {"inner_momentum": 0.5, "adaptive_q": true, "adapt": ["k", "v", "eta", "alpha", "mem", "q"]}}"#

  static let all: [Row] = [
    Row(name: "Hope", json: "{}") { _ in },
    Row(name: "without DGD", json: #"{"/memory/inner_rule": "gd"}"#) { $0.innerRule = .gd },
    Row(name: "without momentum", json: #"{"/memory/inner_momentum": 0}"#) { $0.innerMomentum = 0 },
    Row(name: "without weight decay", json: #"{"/memory/retention": false}"#) { $0.retention = false },
    Row(name: "without CMS", json: #"{"/cms": {"levels": [{"chunk": 0, "hidden": 24}]}}"#) { o in
      o.levels = [.init(chunk: 0, hidden: 24)]
    },
    Row(name: "without inner-projection k", json: #"{"/memory/adapt": ["v", "eta", "alpha", "mem", "q"]}"#) { o in
      o.adapt.remove("k")
    },
    Row(name: "without inner-projection v", json: #"{"/memory/adapt": ["k", "eta", "alpha", "mem", "q"]}"#) { o in
      o.adapt.remove("v")
    },
    Row(
      name: "without inner-projection q",
      json: #"{"/memory/adapt": ["k", "v", "eta", "alpha", "mem"], "/memory/adaptive_q": false}"#
    ) { o in
      o.adapt.remove("q")
      o.adaptiveQ = false
    },
  ]

  private func options(_ row: Row) -> OracleOptions {
    var o = OracleOptions()
    (o.vocab, o.layers, o.heads, o.headDim) = (13, 2, 2, 8)
    (o.memoryChunk, o.projectionChunk, o.etaMax) = (4, 6, 0.3)
    (o.innerMomentum, o.adaptiveQ) = (0.5, true)
    o.adapt.insert("q")
    row.oracle(&o)
    return o
  }

  /// The table's keys give the configuration that the oracle computes.
  private func configuration(_ row: Row) throws -> ModelConfiguration {
    var c = try ModelConfiguration(json: AblationTests.full)
    for (pointer, value) in [
      ("/d_model", "16"), ("/n_layers", "2"), ("/head_dim", "8"), ("/memory/memory_chunk", "4"),
      ("/memory/projection_chunk", "6"), ("/memory/eta_max", "0.3"),
      ("/cms/levels", #"[{"chunk": 64, "hidden": 16}, {"chunk": 0, "hidden": 16}]"#),
    ] {
      try c.set(pointer, json: value)
    }
    guard case .object(let members) = try JSONValue.parse(row.json) else { return c }
    for member in members { try c.set(member.key, json: member.value.serialize()) }
    try c.validate()
    return c
  }

  @Test(arguments: all)
  func valuesAndGradientsAgreeWithTheOracle(_ row: Row) throws {
    let o = options(row)
    let configuration = try configuration(row)
    #expect(try configuration == ModelConfiguration(json: o.configurationJSON))
    let values = o.randomParameters(seed: 681)
    var random = OracleRandom(682)
    let text = random.tokens(31, vocab: o.vocab)
    let model = try Model.matching(o, values)
    let run = OracleHope.run(o, values, text, gradients: true)
    let tolerance = o.innerMomentum > 0 ? 1e-4 : 1e-5
    #expect(relativeError(try model.logits(rows: [text]), run.logits.flatMap { $0 }) <= tolerance)
    let got = try model.gradients(rows: [text]).gradients
    for (name, g) in run.gradients {
      let size = g.reduce(0) { $0 + $1 * $1 }.squareRoot()
      if size == 0 { continue }
      #expect(relativeError(got[name]!, g) <= 1e-4 + 1e-6 / size, "\(name)")
    }
  }

  @Test(arguments: all)
  func trains(_ row: Row) throws {
    let model = try Model(runtime: Runtime(threads: 1), configuration: configuration(row), seed: 683)
    let trainer = try Trainer(model, "{}")
    let text = Tiny.text(3000).map { $0 % 13 }
    let first = try trainer.fit(text, steps: 5, batch: 4, length: 32).loss
    _ = try trainer.fit(text, steps: 200, batch: 4, length: 32)
    let last = try trainer.fit(text, steps: 20, batch: 4, length: 32)
    #expect(last.skipped == 0 && last.loss < 0.9 * first, "\(first) → \(last.loss)")
    let session = try Session(model: model, learn: .on, seed: 0)
    #expect(try session.read(text.map { Int($0) }).allSatisfy(\.isFinite))
  }
}
