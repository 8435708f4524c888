import NestedBase
import NestedCheckpoint
import NestedLearning
import NestedModels
import Testing

@Suite struct ConfigurationTests {
  /// SPEC 7's own example, with every key.
  static let example = """
    { "kind": "hope", "task": "lm", "vocab": 256, "d_model": 256, "n_layers": 4, "head_dim": 64, "n_heads": 4, "n_kv_heads": 4, "d_ff": 688,
      "inputs": 0, "outputs": 0, "classes": 0, "tie_embeddings": true, "norm_eps": 1e-6, "rope_theta": 10000.0, "window": 0, "segment": 64,
      "memory": { "type": "linear", "objective": "l2", "inner_rule": "dgd", "outer_rule": "dgd", "inner_momentum": 0.0, "retention": true,
                  "normalize_value": true, "input_projection": "separate", "adaptive_q": false, "adapt": ["k", "v", "eta", "alpha", "mem"],
                  "expansion": 2, "memory_chunk": 16, "projection_chunk": 16, "read": "token", "eta_max": 1.0, "truncate_bptt": 0 },
      "cms": { "variant": "sequential", "mlp": "swiglu", "meta": "none",
               "levels": [ { "chunk": 64,   "hidden": 512, "optimizer": "sgd", "lr": 0.01,  "clip": 1.0 },
                           { "chunk": 1024, "hidden": 512, "optimizer": "sgd", "lr": 0.003, "clip": 1.0 },
                           { "chunk": 0,    "hidden": 512 } ] } }
    """

  /// Code, place of what a configuration text is refused for, when it is read or validated.
  private func refusal(_ text: String) -> (code: NestedError.Code, place: String)? {
    do throws(NestedError) {
      try ModelConfiguration(json: text).validate()
      return nil
    } catch {
      #expect(!error.message.isEmpty && !error.message.utf8.contains(0x0A))
      return (error.code, error.place)
    }
  }

  /// `vocab` and one more key.
  private func refusal(_ key: String, _ value: String) -> (code: NestedError.Code, place: String)? {
    refusal("{\"vocab\":256,\"\(key)\":\(value)}")
  }

  @Test func keysThatAreNotGivenHaveTheDefaultsOfTheExample() throws {
    let given = try ModelConfiguration(json: Self.example)
    let short = try ModelConfiguration(json: "{\"vocab\":256}")
    try given.validate()
    #expect(given == short && given == ModelConfiguration())
    #expect(given.canonicalJSON == short.canonicalJSON)
    #expect(given.fingerprint == short.fingerprint)
  }

  @Test func canonicalJSONIsStable() throws {
    let text = try ModelConfiguration(json: Self.example).canonicalJSON
    #expect(
      text
        == """
        {"classes":0,"cms":{"levels":[{"chunk":64,"clip":1.0,"hidden":512,"lr":0.01,"optimizer":"sgd"},\
        {"chunk":1024,"clip":1.0,"hidden":512,"lr":0.003,"optimizer":"sgd"},\
        {"chunk":0,"clip":1.0,"hidden":512,"lr":0.01,"optimizer":"sgd"}],\
        "meta":"none","mlp":"swiglu","variant":"sequential"},"d_ff":688,"d_model":256,"head_dim":64,\
        "inputs":0,"kind":"hope","memory":{"adapt":["k","v","eta","alpha","mem"],"adaptive_q":false,\
        "eta_max":1.0,"expansion":2,"inner_momentum":0.0,"inner_rule":"dgd","input_projection":"separate",\
        "memory_chunk":16,"normalize_value":true,"objective":"l2","outer_rule":"dgd",\
        "projection_chunk":16,"read":"token","retention":true,"truncate_bptt":0,"type":"linear"},\
        "n_heads":4,"n_kv_heads":4,"n_layers":4,"norm_eps":1e-06,"outputs":0,"rope_theta":10000.0,\
        "segment":64,"task":"lm","tie_embeddings":true,"vocab":256,"window":0}
        """)
    #expect(try ModelConfiguration(json: text).canonicalJSON == text)
    // FNV-1a of nothing is its offset basis; of this text, a number that must not change.
    #expect(try ModelConfiguration(json: text).fingerprint == Self.fnv(text))
    #expect(try ModelConfiguration(json: "{\"vocab\":257}").fingerprint != Self.fnv(text))
  }

  private static func fnv(_ text: String) -> UInt64 {
    var hash: UInt64 = 14_695_981_039_346_656_037
    for byte in text.utf8 {
      hash ^= UInt64(byte)
      hash &*= 1_099_511_628_211
    }
    return hash
  }

  @Test func titansIsRefusedWithAPlace() throws {
    func place(_ titans: String, _ more: String = "") -> String? {
      refusal(#"{"kind":"titans","vocab":256,"titans":{\#(titans)}\#(more)}"#)?.place
    }
    for mode in ["lmm", "mac", "mag", "mal"] { #expect(place(#""mode":"\#(mode)""#) == nil) }
    #expect(place(#""mode":"rnn""#) == "/titans/mode")
    #expect(place(#""chunk":0"#) == "/titans/chunk")
    #expect(place(#""segment":0"#) == "/titans/segment")
    #expect(place(#""theta_max":-1"#) == "/titans/theta_max")
    #expect(place(#""depth":3"#) == "/titans/depth")
    // Rotary positions need pairs; a memory alone does not.
    let odd = #","d_model":15,"head_dim":5"#
    #expect(place("", odd) == nil && place(#""mode":"mac""#, odd) == "/head_dim")
  }

  /// A kind's own object leaves the canonical form, and so the fingerprint, of the other kinds alone.
  @Test func titansIsShownForItsKindOnly() throws {
    let hope = try ModelConfiguration(json: #"{"vocab":256,"titans":{"chunk":4}}"#)
    #expect(hope == ModelConfiguration() && hope.json["titans"] == nil)
    let text = #"{"kind":"titans","vocab":256,"titans":{"chunk":4}}"#
    let titans = try ModelConfiguration(json: text)
    #expect(try ModelConfiguration(json: titans.canonicalJSON).titans.chunk == 4)
  }

  /// A scaling that there is none of leaves the canonical form alone, and each type shows what it uses.
  @Test func ropeScalingIsShownWhereThereIsOne() throws {
    func read(_ scaling: String) throws -> ModelConfiguration {
      try ModelConfiguration(json: #"{"kind":"transformer","vocab":256,"rope_scaling":{\#(scaling)}}"#)
    }
    let plain = try ModelConfiguration(json: #"{"kind":"transformer","vocab":256}"#)
    #expect(try read("") == plain && read(#""type":"none","factor":2"#).fingerprint == plain.fingerprint)
    let linear = try read(#""type":"linear","factor":2,"low_freq_factor":3"#)
    #expect(linear.json["rope_scaling"]?.serialize(sorted: true) == #"{"factor":2.0,"type":"linear"}"#)
    #expect(linear.fingerprint != plain.fingerprint)
    let llama3 = try read(#""type":"llama3""#)
    #expect(
      llama3.json["rope_scaling"]?.serialize(sorted: true)
        == #"{"factor":8.0,"high_freq_factor":4.0,"low_freq_factor":1.0,"original_max_position":8192,"type":"llama3"}"#)
    #expect(try ModelConfiguration(json: llama3.canonicalJSON) == llama3)
    for (key, value, place) in [
      ("type", "\"yarn\"", "type"), ("factor", "0.5", "factor"), ("low_freq_factor", "4", "high_freq_factor"),
      ("original_max_position", "0", "original_max_position"), ("depth", "1", "depth"),
    ] {
      let type = key == "type" ? "" : #""type":"llama3","#
      let scaling = #"{\#(type)"\#(key)":\#(value)}"#
      #expect(refusal(#"{"kind":"transformer","vocab":256,"rope_scaling":\#(scaling)}"#)! == (.config, "/rope_scaling/\(place)"))
    }
  }

  @Test func sizesFollowUntilTheyAreGiven() throws {
    var c = try ModelConfiguration(json: "{\"vocab\":256,\"d_model\":128}")
    #expect(c.headDim == 64 && c.nHeads == 2 && c.nKVHeads == 2 && c.dFF == 352)
    #expect(c.cms.levels.map(\.hidden) == [256, 256, 256])
    c.dModel = 32
    #expect(c.headDim == 32 && c.nHeads == 1 && c.dFF == 96 && c.cms.levels[2].hidden == 64)
    try c.set("/n_heads", to: .int(4))
    #expect(c.headDim == 8 && c.nKVHeads == 4)
    try c.set("/cms/levels/1/hidden", to: .int(48))
    try c.set("/d_model", to: .int(64))
    #expect(c.cms.levels.map(\.hidden) == [128, 48, 128] && c.headDim == 16)
    try c.validate()
    // The levels of a text follow too, given before or after.
    let level = try ModelConfiguration(
      json: "{\"cms\":{\"levels\":[{\"chunk\":8}]},\"d_model\":48,\"vocab\":2}")
    #expect(level.cms.levels[0].hidden == 96)
    #expect(refusal("head_dim", "48")?.place == "/n_heads")
    #expect(refusal("{\"vocab\":2,\"d_model\":256,\"n_heads\":3}")?.place == "/n_heads")
    #expect(refusal("{\"vocab\":2,\"n_heads\":4,\"head_dim\":64}") == nil)
    #expect(refusal("{\"vocab\":2,\"n_heads\":2,\"head_dim\":64}")?.place == "/n_heads")
    #expect(refusal("n_kv_heads", "3")?.place == "/n_kv_heads")
    #expect(refusal("n_kv_heads", "2") == nil)
  }

  @Test func mistakesHaveTheirPlace() {
    let cases: [(text: String, code: NestedError.Code, place: String)] = [
      ("{}", .config, "/vocab"), ("{\"vocab\":0}", .config, "/vocab"), ("[]", .config, ""),
      ("{\"vocab\":256,\"colour\":1}", .config, "/colour"),
      ("{\"vocab\":256,\"a/b~\":1}", .config, "/a~1b~0"),
      ("{\"vocab\":\"256\"}", .config, "/vocab"), ("{\"vocab\":256.0}", .config, "/vocab"),
      ("{\"vocab\":-1}", .config, "/vocab"), ("{\"vocab\":null}", .config, "/vocab"),
      ("{\"vocab\":256,\"memory\":[]}", .config, "/memory"),
      ("{\"vocab\":256,\"memory\":{\"typ\":1}}", .config, "/memory/typ"),
      ("{\"vocab\":256,\"memory\":{\"type\":\"cubic\"}}", .config, "/memory/type"),
      ("{\"vocab\":256,\"memory\":{\"adapt\":[\"k\",\"z\"]}}", .config, "/memory/adapt/1"),
      ("{\"vocab\":256,\"memory\":{\"adapt\":[\"k\",\"k\"]}}", .config, "/memory/adapt/1"),
      ("{\"vocab\":256,\"memory\":{\"adapt\":\"k\"}}", .config, "/memory/adapt"),
      ("{\"vocab\":256,\"memory\":{\"adapt\":[\"q\"]}}", .config, "/memory/adapt"),
      ("{\"vocab\":256,\"memory\":{\"inner_momentum\":1}}", .config, "/memory/inner_momentum"),
      ("{\"vocab\":256,\"memory\":{\"eta_max\":1e300}}", .config, "/memory/eta_max"),
      ("{\"vocab\":256,\"memory\":{\"eta_max\":true}}", .config, "/memory/eta_max"),
      ("{\"vocab\":256,\"norm_eps\":0}", .config, "/norm_eps"),
      ("{\"vocab\":256,\"norm_eps\":1e-60}", .config, "/norm_eps"),
      ("{\"vocab\":256,\"cms\":{\"levels\":[]}}", .config, "/cms/levels"),
      ("{\"vocab\":256,\"cms\":{\"levels\":[{\"chunk\":1},3]}}", .config, "/cms/levels/1"),
      (
        "{\"vocab\":256,\"cms\":{\"levels\":[{\"chunk\":1},{\"chunky\":2}]}}", .config,
        "/cms/levels/1/chunky"
      ),
      (
        "{\"vocab\":256,\"cms\":{\"levels\":[{\"chunk\":0},{\"chunk\":4}]}}", .config,
        "/cms/levels/1/chunk"
      ),
      (
        "{\"vocab\":256,\"cms\":{\"levels\":[{\"chunk\":4},{\"chunk\":6}]}}", .config,
        "/cms/levels/1/chunk"
      ),
      ("{\"vocab\":256,\"segment\":48}", .config, "/segment"),
      ("{\"vocab\":256,\"inputs\":3}", .config, "/inputs"), ("{\"inputs\":3}", .config, "/vocab"),
      ("{\"vocab\":256,\"classes\":3}", .config, "/classes"),
      ("{\"vocab\":256,\"outputs\":3}", .config, "/outputs"),
      ("{\"vocab\":256,\"preset\":\"poem\"}", .config, "/preset"),
      ("{\"vocab\":256,\"preset\":3}", .config, "/preset"),
      ("{\"preset\":\"paper\"}", .config, "/vocab"),
      ("{\"vocab\":256,\"vocab\":256}", .parse, ""), ("{\"vocab\":256", .parse, ""),
    ]
    for (text, code, place) in cases {
      let found = refusal(text)
      #expect(found?.code == code && found?.place == place, "\(text): \(String(describing: found))")
    }
    #expect(
      refusal(
        "{\"vocab\":256,\"cms\":{\"levels\":[{\"chunk\":4},{\"chunk\":4},{\"chunk\":0},{\"chunk\":0}]}}"
      ) == nil)
    #expect(refusal("segment", "16") == nil)
    #expect(refusal("segment", "1000") == nil)
    #expect(refusal("{\"vocab\":256,\"segment\":48,\"cms\":{\"levels\":[{\"chunk\":0}]}}") == nil)
    #expect(refusal("memory", "{\"adaptive_q\":true,\"adapt\":[\"q\"]}") == nil)
    #expect(refusal("memory", "{\"adapt\":[]}") == nil)
  }

  @Test func namesOfOtherPartsAreRightButUnsupported() {
    for kind in ModelKind.allCases where !kind.isBuilt {
      #expect(refusal("kind", "\"\(kind.rawValue)\"")! == (.unsupported, "/kind"))
    }
    for variant in CMSVariant.allCases {
      #expect(refusal("cms", "{\"variant\":\"\(variant.rawValue)\"}") == nil)
    }
    #expect(refusal("cms", #"{"meta":"first-order"}"#) == nil)
    #expect(refusal("cms", #"{"meta":"exact"}"#) == nil)
  }

  @Test func tasksAndVectorsHaveTheirKeys() throws {
    let cms = #""kind":"cms","inputs":3"#, labels = #""vocab":256,"task":"classify""#
    let cases: [(String, String)] = [
      (#"{"kind":"cms","inputs":0,"vocab":0}"#, "/vocab"), (#"{"kind":"cms","vocab":8}"#, "/vocab"),
      (#"{\#(cms),"vocab":8}"#, "/vocab"), (#"{\#(cms),"task":"lm"}"#, "/task"),
      (#"{\#(cms),"task":"regress"}"#, "/outputs"), (#"{\#(cms),"outputs":2}"#, "/outputs"),
      (#"{\#(cms),"task":"regress","outputs":2,"classes":2}"#, "/classes"),
      (#"{\#(cms),"cms":{"levels":[{"chunk":4},{"chunk":6}]}}"#, "/cms/levels/1/chunk"),
      (#"{\#(labels),"inputs":3}"#, "/inputs"), (#"{\#(labels),"outputs":3}"#, "/outputs"),
      (#"{"vocab":256,"classes":3}"#, "/classes"), (#"{\#(labels),"head":{"hidden":3}}"#, "/head/hidden"),
    ]
    for (text, place) in cases {
      let found = refusal(text)
      #expect(found?.code == .config && found?.place == place, "\(text): \(String(describing: found))")
    }
    #expect(refusal(#"{\#(labels),"cms":{"meta":"first-order"}}"#)! == (.unsupported, "/cms/meta"))
    for text in [#"{\#(cms)}"#, #"{\#(cms),"task":"regress","outputs":2}"#, #"{\#(labels)}"#] {
      let c = try ModelConfiguration(json: text)
      try c.validate()
      #expect(c.canonicalJSON.contains(#""head":{"chunk":1,"clip":1.0,"lr":0.1,"optimizer":"sgd"}"#))
      #expect(try ModelConfiguration(json: c.canonicalJSON) == c)
    }
    #expect(try ModelConfiguration(json: #"{\#(cms)}"#).task == .classify)
    #expect(!(try ModelConfiguration(json: #"{"vocab":256}"#).canonicalJSON.contains("\"head\"")))
  }

  @Test(arguments: LevelOptimizer.allCases) func aLevelMayNameAnyOptimizer(optimizer: LevelOptimizer) {
    #expect(refusal("cms", "{\"levels\":[{\"optimizer\":\"\(optimizer.rawValue)\"}]}") == nil)
  }

  @Test func presetsAreDefaultsThatOtherKeysOverride() throws {
    let paper = try ModelConfiguration(
      json: "{\"memory\":{\"expansion\":2},\"preset\":\"paper\",\"vocab\":99}")
    #expect(
      paper.memory.type == .mlp && paper.memory.outerRule == .decay && !paper.memory.normalizeValue)
    #expect(paper.memory.inputProjection == .none && paper.memory.read == .chunk)
    #expect(paper.memory.etaMax == 0.01 && paper.memory.expansion == 2 && paper.vocab == 99)
    #expect(try ModelConfiguration.preset("paper").memory.expansion == 4)
    #expect(!paper.canonicalJSON.contains("preset"))
    for name in ModelConfiguration.presetNames { try ModelConfiguration.preset(name).validate() }
    for name in ModelConfiguration.presetNames where name != "paper" {
      let c = try ModelConfiguration(json: "{\"preset\":\"\(name)\"}")
      #expect(c == (try ModelConfiguration.preset(name)))
      // The name says how many there are: "hope-1.3b".
      let size = name.split(separator: "-").last!
      let count = Double(size.dropLast())! * (size.hasSuffix("b") ? 1e9 : 1e6)
      let found = Double(ParameterLayout(c).count)
      #expect(abs(found / count - 1) < 0.08, "\(name) has \(Int(found)) parameters")
      guard c.kind == .hope else { continue }
      // By the formula of SPEC 2 and 3 for linear memories and swiglu levels.
      let (D, d, H, L) = (c.dModel, c.headDim, c.nHeads, c.nLayers)
      let levels = c.cms.levels.reduce(0) { $0 + D + 3 * $1.hidden * D }
      let mixer = 5 * D * D + 3 * 4 * D + 2 * D + 2 * H + 3 * H * d * d + 2 * H * d
      #expect(Int(found) == c.vocab * D + L * (mixer + levels) + D)
    }
    #expect(throws: NestedError.self) { try ModelConfiguration.preset("") }
  }

  @Test func oneKeyIsSetByPointer() throws {
    var c = ModelConfiguration()
    try c.set("/cms/levels/1/chunk", json: "2048")
    try c.set("/cms/levels/-", json: "{\"chunk\":0,\"hidden\":7}")
    try c.set("/cms/levels/4", json: "{}")
    #expect(c.cms.levels.map(\.chunk) == [64, 2048, 0, 0, 64] && c.cms.levels[3].hidden == 7)
    #expect(try c.get("/cms/levels/1/chunk") == .int(2048))
    #expect(try c.get("/cms/levels/1/lr") == .double(0.003))
    try c.set("/cms/levels/1", json: "{\"chunk\":128}")
    #expect(try c.get("/cms/levels/1/lr") == .double(0.01))
    try c.set("/memory/eta_max", to: .int(2))
    try c.set("/memory/adapt", json: "[\"mem\",\"k\"]")
    #expect(try c.get("/memory/adapt").serialize() == "[\"k\",\"mem\"]")
    try c.set("/memory", json: "{\"type\":\"mlp\"}")
    #expect(c.memory.etaMax == 0.1 && c.memory.type == .mlp)
    try c.set("/preset", json: "\"paper\"")
    #expect(c.memory.expansion == 4 && c.cms.levels.count == 5)
    try c.set("/memory/inner_momentum", to: .double(-0.0))
    #expect(try c.get("/memory/inner_momentum").serialize() == "0.0")
    let before = c.canonicalJSON
    for (pointer, text, code) in [
      ("/nothing", "1", NestedError.Code.config), ("/d_model/x", "1", .config),
      ("/d_model", "0", .config),
      ("/cms/levels/9", "{}", .config), ("/cms/levels/5/chunk", "1", .config),
      ("/cms/levels/x", "{}", .config),
      ("/cms/levels/01", "{}", .config), ("d_model", "1", .argument), ("/~", "1", .argument),
      ("/d_model", "1 2", .parse), ("", "{\"kind\":\"hope\"}", .config),
      ("/memory", "{\"type\":\"mlp\",\"read\":1}", .config), ("/cms/levels", "[]", .config),
    ] {
      #expect { try c.set(pointer, json: text) } throws: { ($0 as? NestedError)?.code == code }
      #expect(c.canonicalJSON == before)
    }
    #expect { try c.get("/cms/levels/5") } throws: { ($0 as? NestedError)?.code == .notFound }
    #expect { try c.set("/norm_eps", to: .double(.nan)) } throws: {
      ($0 as? NestedError)?.place == "/norm_eps"
    }
    try c.set("", json: "{\"vocab\":256}")
    #expect(c == ModelConfiguration())
  }

  @Test func numbersOfKindsAreThoseOfTheHeader() {
    #expect(ModelKind.allCases.map(\.number) == [1, 2, 3, 4, 5, 7, 8, 9, 11, 10, 6])
    #expect(
      ModelKind(number: 9) == .tttLinear && ModelKind(number: 0) == nil
        && ModelKind(number: 11) == .tttMLP)
    #expect(ModelTask.allCases.map(\.number) == [1, 2, 3])
  }

  @Test func arbitraryBytesAreRefusedOrRead() {
    var state: UInt64 = 42
    let seed = Array(Self.example.utf8)
    for _ in 0..<3000 {
      var bytes = seed
      for _ in 0..<3 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        bytes[Int(state >> 33) % bytes.count] = UInt8(truncatingIfNeeded: state >> 24)
      }
      if let c = try? ModelConfiguration(json: bytes) {
        if (try? c.validate()) != nil, c.nLayers <= 8 { _ = ParameterLayout(c).count }
        #expect((try? ModelConfiguration(json: c.canonicalJSON)) == c)
      }
    }
  }
}
