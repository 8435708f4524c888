import NestedBase
import NestedModels
import Testing

@Suite struct ParameterLayoutTests {
  private func configuration(_ json: String) throws -> ModelConfiguration {
    let c = try ModelConfiguration(json: json)
    try c.validate()
    return c
  }

  private func shapes(_ json: String) throws -> [String] {
    ParameterLayout(try configuration(json)).entries.map { "\($0.name) \($0.shape)" }
  }

  @Test func defaultsHaveTheNamesAndShapesOfThePage() throws {
    let found = try shapes(
      """
      {"vocab": 11, "d_model": 32, "head_dim": 8, "n_layers": 1,
       "cms": {"levels": [{"chunk": 4, "hidden": 24}, {"chunk": 0}]}}
      """)
    #expect(
      found == [
        "embed.weight [11, 32]", "blocks.0.mixer.norm.weight [32]",
        "blocks.0.mixer.q.weight [32, 32]",
        "blocks.0.mixer.u.weight [32, 32]", "blocks.0.mixer.v.weight [32, 32]",
        "blocks.0.mixer.q_conv.weight [32, 4]", "blocks.0.mixer.u_conv.weight [32, 4]",
        "blocks.0.mixer.v_conv.weight [32, 4]", "blocks.0.mixer.memory.k.w [4, 8, 8]",
        "blocks.0.mixer.memory.v.w [4, 8, 8]", "blocks.0.mixer.memory.eta.w [4, 1, 8]",
        "blocks.0.mixer.eta_bias [4]", "blocks.0.mixer.memory.alpha.w [4, 1, 8]",
        "blocks.0.mixer.alpha_bias [4]", "blocks.0.mixer.memory.mem.w [4, 8, 8]",
        "blocks.0.mixer.head_norm.weight [32]", "blocks.0.mixer.gate.weight [32, 32]",
        "blocks.0.mixer.out.weight [32, 32]", "blocks.0.cms.0.norm.weight [32]",
        "blocks.0.cms.0.gate.weight [24, 32]", "blocks.0.cms.0.up.weight [24, 32]",
        "blocks.0.cms.0.down.weight [32, 24]", "blocks.0.cms.1.norm.weight [32]",
        "blocks.0.cms.1.gate.weight [64, 32]", "blocks.0.cms.1.up.weight [64, 32]",
        "blocks.0.cms.1.down.weight [32, 64]", "norm.weight [32]",
      ])
  }

  @Test func mlpMemoriesAndOtherFlagsChangeWhatThePageSays() throws {
    let found = try shapes(
      """
      {"vocab": 5, "d_model": 16, "head_dim": 8, "n_layers": 2, "tie_embeddings": false,
       "memory": {"type": "mlp", "expansion": 3, "adaptive_q": true, "input_projection": "none"},
       "cms": {"mlp": "gelu", "levels": [{"chunk": 0}]}}
      """)
    let mixer = (0..<2).flatMap { i in
      [
        "norm.weight [16]", "q.weight [16, 16]", "q_conv.weight [16, 4]", "u_conv.weight [16, 4]",
        "memory.q.w2 [2, 24, 8]", "memory.q.w1 [2, 8, 24]", "memory.k.w2 [2, 24, 8]",
        "memory.k.w1 [2, 8, 24]", "memory.v.w2 [2, 24, 8]", "memory.v.w1 [2, 8, 24]",
        "memory.eta.w2 [2, 24, 8]", "memory.eta.w1 [2, 1, 24]", "eta_bias [2]",
        "memory.alpha.w2 [2, 24, 8]", "memory.alpha.w1 [2, 1, 24]", "alpha_bias [2]",
        "memory.mem.w2 [2, 24, 8]", "memory.mem.w1 [2, 8, 24]", "head_norm.weight [16]",
        "gate.weight [16, 16]", "out.weight [16, 16]",
      ].map { "blocks.\(i).mixer.\($0)" }
        + ["norm.weight [16]", "up.weight [32, 16]", "down.weight [16, 32]"].map {
          "blocks.\(i).cms.0.\($0)"
        }
    }
    #expect(
      found == ["embed.weight [5, 16]"] + mixer + ["norm.weight [16]", "head.weight [5, 16]"])
    let shared = try shapes("{\"vocab\":5,\"memory\":{\"input_projection\":\"shared\"}}")
    #expect(shared.contains { $0.hasPrefix("blocks.3.mixer.u.weight") })
    #expect(!shared.contains { $0.contains("mixer.v.weight") || $0.contains("v_conv") })
  }

  /// The number in a preset's name, within 8 %.
  @Test func presetsAreAsLargeAsTheirNames() throws {
    var sizes = 0
    for name in ModelConfiguration.presetNames {
      guard let size = name.split(separator: "-").last, let unit = size.last, let number = Double(size.dropLast()),
        size != name
      else { continue }
      let count = Double(ParameterLayout(try ModelConfiguration.preset(name)).count)
      #expect(abs(count / (number * (unit == "b" ? 1e9 : 1e6)) - 1) < 0.08, "\(name): \(count)")
      sizes += 1
    }
    #expect(sizes == 25)
  }

  @Test func entriesTileTheFlatVectorAndKnowTheirPlace() throws {
    for name in ModelConfiguration.presetNames {
      let layout = ParameterLayout(try ModelConfiguration.preset(name))
      var offset = 0
      for (i, entry) in layout.entries.enumerated() {
        #expect(entry.offset == offset && entry.count == entry.shape.reduce(1, *))
        #expect(layout.index(of: entry.name) == i)
        #expect((entry.layer >= 0) == entry.name.hasPrefix("blocks.\(entry.layer)."))
        #expect((entry.level >= 0) == entry.name.contains(".cms.\(entry.level)."))
        let isException =
          entry.name == "embed.weight" || entry.name.contains("_conv.")
          || entry.name.contains(".memory.") || entry.name.contains(".persistent_")
        #expect(entry.decays == (entry.shape.count >= 2 && !isException))
        offset += entry.count
      }
      #expect(layout.count == offset)
      #expect(layout.index(of: "blocks.0") == nil)
    }
  }

  @Test func initialValuesHaveTheMomentsOfThePage() throws {
    let c = try configuration(
      """
      {"vocab": 300, "d_model": 128, "n_layers": 2, "tie_embeddings": false,
       "memory": {"type": "mlp"}, "cms": {"levels": [{"chunk": 0, "hidden": 192}]}}
      """)
    let layout = ParameterLayout(c)
    var weights = [Float](repeating: .nan, count: layout.count)
    weights.withUnsafeMutableBufferPointer { layout.initialize(Floats($0.baseAddress!), seed: 5) }
    let (D, d, F, hidden, L) = (128.0, 64.0, 128.0, 192.0, 2.0)
    let variances: [(String, Double)] = [
      ("embed.weight", 0.0004), ("head.weight", 0.0004), ("blocks.1.mixer.q.weight", 1 / D),
      ("blocks.0.mixer.gate.weight", 1 / D), ("blocks.0.mixer.out.weight", 1 / (2 * L * D)),
      ("blocks.0.cms.0.up.weight", 1 / D), ("blocks.1.cms.0.gate.weight", 1 / D),
      ("blocks.1.cms.0.down.weight", 1 / (2 * L * hidden)), ("blocks.0.mixer.memory.k.w2", 1 / d),
      ("blocks.0.mixer.memory.mem.w1", 0.01 / F),
    ]
    for (name, variance) in variances {
      let entry = layout.entries[try #require(layout.index(of: name))]
      let values = weights[entry.offset..<entry.offset + entry.count].map { Double($0) }
      let n = Double(values.count)
      let mean = values.reduce(0, +) / n
      let found = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / n
      #expect(abs(mean) < 4 * (variance / n).squareRoot(), "\(name)")
      #expect(abs(found / variance - 1) < 4 * (2 / n).squareRoot(), "\(name)")
    }
    for entry in layout.entries {
      let values = weights[entry.offset..<entry.offset + entry.count]
      #expect(values.allSatisfy { $0.isFinite })
      if entry.name.hasSuffix("norm.weight") { #expect(values.allSatisfy { $0 == 1 }) }
      if entry.name.hasSuffix("eta_bias") { #expect(values.allSatisfy { $0 == 1 }) }
      if entry.name.hasSuffix("alpha_bias") { #expect(values.allSatisfy { $0 == 4 }) }
      if entry.name.hasSuffix("_conv.weight") {
        let taps = Array(values)
        #expect(stride(from: 3, to: taps.count, by: 4).allSatisfy { taps[$0] == 1 })
        let others = taps.indices.filter { $0 % 4 != 3 }.map { Double(taps[$0]) }
        let variance = others.reduce(0) { $0 + $1 * $1 } / Double(others.count)
        #expect(abs(variance / 0.01 - 1) < 4 * (2 / Double(others.count)).squareRoot())
      }
    }
  }

  @Test func initialValuesDependOnSeedAndPlaceOnly() throws {
    func weights(_ json: String, seed: UInt64) throws -> ([Float], ParameterLayout) {
      let layout = ParameterLayout(try configuration(json))
      var weights = [Float](repeating: .nan, count: layout.count)
      weights.withUnsafeMutableBufferPointer {
        layout.initialize(Floats($0.baseAddress!), seed: seed)
      }
      return (weights, layout)
    }
    let small = "{\"vocab\":7,\"d_model\":16,\"n_layers\":1}"
    let (a, layout) = try weights(small, seed: 1)
    #expect(try weights(small, seed: 1).0 == a)
    #expect(try weights(small, seed: 2).0 != a)
    // A larger vocabulary changes its own rows only.
    let (b, larger) = try weights("{\"vocab\":9,\"d_model\":16,\"n_layers\":1}", seed: 1)
    for (x, y) in zip(layout.entries, larger.entries) {
      let count = min(x.count, y.count)
      #expect(a[x.offset..<x.offset + count] == b[y.offset..<y.offset + count])
    }
  }
}
