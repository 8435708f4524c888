import Foundation
import NestedBase
import NestedCheckpoint
import NestedModels
import NestedTensor
import NestedTraining
import Testing

/// Checkpoints of transformers' LlamaForCausalLM: the same logits, the same text, and then more than it can.
@Suite struct ImportTests {
  private func imported(_ path: FilePath, limit: Int = 0, _ control: RunControl = quiet) throws -> Model {
    try Model.importing(path, runtime: Runtime(threads: 2, memoryLimit: limit), control: control)
  }
  private func imported(_ name: String) throws -> Model {
    try imported(FilePath(LlamaFixture.root.appending(path: name).path))
  }
  private func worst(_ a: [Double], _ b: [Float]) -> Double {
    let largest = b.reduce(0) { max($0, abs(Double($1))) }
    return zip(a, b).reduce(0) { max($0, abs($1.0 - Double($1.1))) } / largest
  }
  private func best(_ logits: ArraySlice<Float>) -> Int {
    logits.indices.max { logits[$0] < logits[$1] }! - logits.startIndex
  }

  @Test(arguments: LlamaFixture.names)
  func logitsAndGreedyTextAreThoseOfTransformers(name: String) throws {
    let expected = try LlamaFixture(name)
    let model = try imported(name)
    #expect(model.configuration.kind == .transformer)
    let logits = try model.logits(rows: [expected.tokens])
    #expect(logits.count == expected.logits.count && worst(logits, expected.logits) < 1e-4)

    let session = try Session(model: model, learn: .memory, seed: 0)
    var last = try session.read(Array(expected.tokens.prefix(expected.prompt)))
    var text: [Int] = []
    while text.count < expected.greedy.count {
      text.append(best(last.suffix(model.configuration.vocab)))
      last = try session.read([text[text.count - 1]])
    }
    #expect(text == expected.greedy && text.count == 200)
  }

  /// The scaling is in the logits: without it they are others.
  @Test(arguments: ["llama3", "linear"])
  func scalingMatters(name: String) throws {
    let expected = try LlamaFixture(name)
    let copy = try CheckpointCopy(of: name)
    try copy.replace("\"rope_type\": \"\(name)\"", by: "\"rope_type\": \"default\"")
    let logits = try imported(copy.path).logits(rows: [expected.tokens])
    #expect(worst(logits, expected.logits) > 1e-2)
  }

  /// As transformers wrote it before version 5.
  @Test func olderSpellingsMeanTheSame() throws {
    let expected = try LlamaFixture("llama3")
    for key in ["rope_type", "type"] {
      let copy = try CheckpointCopy(of: "llama3")
      try copy.replace("\"rope_theta\": 10000.0,\n", by: "")
      try copy.replace("rope_parameters", by: "rope_scaling")
      try copy.replace("\"rope_type\"", by: "\"\(key)\"")
      try copy.replace("\"use_cache\"", by: "\"rope_theta\": 10000.0, \"use_cache\"")
      try copy.replace("\"head_dim\": 8", by: "\"head_dim\": null")
      #expect(worst(try imported(copy.path).logits(rows: [expected.tokens]), expected.logits) < 1e-4)
    }
    let plain = try CheckpointCopy(of: "tied")
    try plain.replace("\"rope_parameters\": {\n    \"rope_theta\": 10000.0,\n    \"rope_type\": \"default\"\n  }", by: "\"rope_scaling\": null")
    let tied = try LlamaFixture("tied")
    #expect(worst(try imported(plain.path).logits(rows: [tied.tokens]), tied.logits) < 1e-4)
  }

  /// Buffers of old versions, and a head that is the embedding.
  @Test func whatSaysNothingNewIsPassedOver() throws {
    let copy = try CheckpointCopy(of: "tied")
    var embedding: [Float] = []
    try copy.rewrite(more: ["model.layers.1.self_attn.rotary_emb.inv_freq": [4]]) { name, _, values in
      if name == "model.embed_tokens.weight" { embedding = values }
      return true
    }
    let expected = try LlamaFixture("tied")
    #expect(worst(try imported(copy.path).logits(rows: [expected.tokens]), expected.logits) < 1e-4)
    try copy.rewrite(more: ["lm_head.weight": [32, 16]])
    #expect(refusal(copy)! == (.corrupt, "lm_head.weight"))
    try copy.rewrite { name, _, values in
      if name == "lm_head.weight" { values = embedding }
      return true
    }
    #expect(worst(try imported(copy.path).logits(rows: [expected.tokens]), expected.logits) < 1e-4)
  }

  private func refusal(_ copy: CheckpointCopy, _ control: RunControl = quiet) -> (NestedError.Code, String)? {
    do {
      _ = try imported(copy.path, control)
      return nil
    } catch let error as NestedError {
      #expect(!error.message.isEmpty && !error.message.contains("\n"))
      return (error.code, error.place)
    } catch {
      Issue.record(error)
      return nil
    }
  }

  @Test(arguments: [
    ("\"LlamaForCausalLM\"", "\"GPT2LMHeadModel\"", NestedError.Code.unsupported, "/architectures"),
    ("\"LlamaForCausalLM\"", "\"LlamaForCausalLM\", \"Other\"", .config, "/architectures"),
    ("\"architectures\"", "\"names\"", .config, "/architectures"),
    ("\"silu\"", "\"gelu\"", .unsupported, "/hidden_act"),
    ("\"attention_bias\": false", "\"attention_bias\": true", .unsupported, "/attention_bias"),
    ("\"mlp_bias\": false", "\"mlp_bias\": true", .unsupported, "/mlp_bias"),
    ("\"use_cache\"", "\"quantization_config\": {}, \"use_cache\"", .unsupported, "/quantization_config"),
    ("\"use_cache\"", "\"sliding_window\": 8, \"use_cache\"", .unsupported, "/sliding_window"),
    ("\"hidden_size\": 16", "\"hidden_size\": \"16\"", .config, "/hidden_size"),
    ("\"hidden_size\": 16", "\"hidden_size\": 0", .config, "/hidden_size"),
    ("\"hidden_size\": 16", "\"width\": 16", .config, "/hidden_size"),
    ("\"vocab_size\": 32", "\"vocab_size\": 999999999", .config, "/vocab_size"),
    ("\"head_dim\": 8", "\"head_dim\": 16", .unsupported, "/head_dim"),
    ("\"num_attention_heads\": 2", "\"num_attention_heads\": 3", .unsupported, "/head_dim"),
    ("\"num_key_value_heads\": 1", "\"num_key_value_heads\": 3", .config, "/num_key_value_heads"),
    ("\"rms_norm_eps\": 1e-06", "\"rms_norm_eps\": -1", .config, "/rms_norm_eps"),
    ("\"rms_norm_eps\": 1e-06", "\"rms_norm_eps\": 1e-60", .config, "/rms_norm_eps"),
    ("\"rope_type\": \"llama3\"", "\"rope_type\": \"yarn\"", .unsupported, "/rope_parameters/rope_type"),
    ("\"rope_type\": \"llama3\"", "\"rope_type\": 3", .config, "/rope_parameters/rope_type"),
    ("\"factor\": 4.0,", "", .config, "/rope_parameters/factor"),
    ("\"factor\": 4.0,", "\"factor\": 0.5,", .config, "/rope_parameters/factor"),
    ("\"high_freq_factor\": 4.0", "\"high_freq_factor\": 1.0", .config, "/rope_parameters/high_freq_factor"),
    ("\"factor\": 4.0,", "\"factor\": 4.0, \"partial_rotary_factor\": 0.5,", .unsupported, "/rope_parameters/partial_rotary_factor"),
    ("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", .corrupt, "model.layers.2.input_layernorm.weight"),
    ("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1", .corrupt, "model.layers.1.input_layernorm.weight"),
    ("\"tie_word_embeddings\": false", "\"tie_word_embeddings\": 0", .config, "/tie_word_embeddings"),
    ("\"intermediate_size\": 24", "\"intermediate_size\": 25", .shape, "model.layers.0.mlp.gate_proj.weight"),
    ("{\n", "{{\n", .parse, "config.json"), ("{\n", "[] {\n", .parse, "config.json"),
  ])
  func whatHasNoCounterpartIsRefused(old: String, new: String, code: NestedError.Code, place: String) throws {
    let copy = try CheckpointCopy(of: "llama3")
    try copy.replace(old, by: new)
    #expect(refusal(copy)! == (code, place))
  }

  @Test func damagedTensorsAreRefused() throws {
    let down = "model.layers.1.mlp.down_proj.weight"
    func after(_ change: (CheckpointCopy) throws -> Void) throws -> (NestedError.Code, String)? {
      let copy = try CheckpointCopy(of: "grouped")
      try change(copy)
      return refusal(copy)
    }
    #expect(try after { try $0.rewrite() } == nil)
    #expect(try after { try $0.rewrite { name, _, _ in name != down } }! == (.corrupt, down))
    #expect(try after { try $0.rewrite { name, _, _ in name != "lm_head.weight" } }! == (.corrupt, "lm_head.weight"))
    #expect(try after { try $0.rewrite(more: ["model.extra": [2]]) }! == (.corrupt, "model.extra"))
    #expect(try after { try $0.rewrite(int32: [down]) }! == (.dtype, down))
    let turned: (String, inout [Int], inout [Float]) -> Bool = { name, shape, _ in
      if name == down { shape.reverse() }
      return true
    }
    #expect(try after { try $0.rewrite(change: turned) }! == (.shape, down))
    for value in [Float.nan, .infinity] {
      let spoilt: (String, inout [Int], inout [Float]) -> Bool = { name, _, values in
        if name == down { values[7] = value }
        return true
      }
      #expect(try after { try $0.rewrite(change: spoilt) }! == (.numeric, down))
    }
    #expect(try after { try $0.write("short", to: "model.safetensors") }?.0 == .corrupt)
    #expect(try after { try $0.remove("model.safetensors") }?.0 == .io)
    #expect(try after { try $0.remove("config.json") }?.0 == .io)
  }

  @Test func anIndexNamesFilesOfItsFolderOnly() throws {
    let index = "model.safetensors.index.json"
    let first = "\"model.embed_tokens.weight\": \"model-00001-of-00002.safetensors\""
    let place = "/weight_map/model.embed_tokens.weight"
    func after(_ change: (CheckpointCopy) throws -> Void) throws -> (NestedError.Code, String)? {
      let copy = try CheckpointCopy(of: "sharded")
      try change(copy)
      return refusal(copy)
    }
    for name in [
      "../model-00001-of-00002.safetensors", "/etc/passwd", "..", "", ".safetensors", "x.bin", "a/b.safetensors",
      "a\\u0000.safetensors",
    ] {
      let result = try after {
        try $0.replace(first, by: "\"model.embed_tokens.weight\": \"\(name)\"", in: index)
      }
      #expect(result! == (.corrupt, place) || (name.contains("u0000") && result!.0 == .parse), "\(name)")
    }
    #expect(try after { try $0.replace(first, by: "\"model.embed_tokens.weight\": 3", in: index) }! == (.corrupt, place))
    #expect(
      try after {
        try $0.replace(first, by: first.replacingOccurrences(of: "00001-of", with: "00002-of"), in: index)
      }?.0 == .corrupt)
    #expect(
      try after {
        try $0.replace(first, by: first.replacingOccurrences(of: "00001-of", with: "00003-of"), in: index)
      }?.0 == .io)
    #expect(try after { try $0.replace(first + ",", by: "", in: index) }! == (.corrupt, "model.embed_tokens.weight"))
    #expect(try after { try $0.write("{\"weight_map\": {}}", to: index) }! == (.corrupt, "/weight_map"))
    #expect(try after { try $0.write("[]", to: index) }! == (.corrupt, "/weight_map"))
    #expect(try after { try $0.write("{", to: index) }! == (.parse, index))
    #expect(try after { try $0.remove("model-00002-of-00002.safetensors") }?.0 == .io)
  }

  @Test func itIsReportedAndCanBeCancelledAtEveryTensor() throws {
    let copy = try CheckpointCopy(of: "sharded")
    var seen: [Int] = []
    var total = 0
    let watching = RunControl { (_, done, all, _) throws(NestedError) in
      seen.append(done)
      total = all
    }
    let model = try imported(copy.path, watching)
    #expect(seen == seen.sorted() && seen.first == 0 && seen.last == total && total == 4 * model.layout.count)
    #expect(seen.count == model.layout.entries.count + 1)
    for stop in 0..<seen.count {
      var calls = 0
      let control = RunControl { (_, _, _, _) throws(NestedError) in
        calls += 1
        if calls > stop { throw NestedError(.cancelled, "enough") }
      }
      #expect(refusal(copy, control)?.0 == .cancelled)
    }
  }

  /// One copy of the weights: with little more than that the import succeeds, with less it is refused.
  @Test func memoryIsThatOfTheWeights() throws {
    let copy = try CheckpointCopy(of: "grouped")
    let bytes = try 4 * imported(copy.path).layout.count
    _ = try imported(copy.path, limit: bytes + 4096)
    #expect(throws: NestedError.self) { try imported(copy.path, limit: bytes - 64) }
  }

  /// The import becomes a model with levels: the same logits, bit for bit, also where levels step at a rate of 0; and in a
  /// session that learns, a text that it has not seen.
  @Test(arguments: LlamaFixture.names)
  func theImportLearnsInASession(name: String) throws {
    let expected = try LlamaFixture(name)
    let model = try imported(name)
    func stacked(_ rate: Float) throws -> Model {
      var cms = CMSConfiguration()
      cms.levels = [LevelConfiguration(chunk: 16, lr: rate), LevelConfiguration(chunk: 32, hidden: 24, lr: rate)]
      return try stackLevels(on: model, cms: cms, seed: 3, control: quiet)
    }
    let plain = try Session(model: model, learn: .memory, seed: 0)
    let resting = try Session(model: stacked(0), learn: .on, seed: 0)
    let text = (0..<40).map { expected.tokens[$0 % 24] }
    #expect(try resting.read(text).map(\.bitPattern) == plain.read(text).map(\.bitPattern))
    #expect(resting.updates > 0)
    let levels = try stacked(0.05)
    #expect(levels.configuration.ropeScaling.type == model.configuration.ropeScaling.type)
    #expect(
      try levels.logits(rows: [expected.tokens]).map(\.bitPattern)
        == model.logits(rows: [expected.tokens]).map(\.bitPattern))

    let phrase = (0..<48).map { Int32($0 * 7 % 32) }
    func read(_ session: Session) throws -> (first: Double, last: Double) {
      var losses: [Double] = []
      for _ in 0..<40 {
        losses.append(
          try phrase.withUnsafeBufferPointer {
            try session.feed(
              tokens: Tokens($0.baseAddress!), count: 48, logits: nil, lastOnly: false, control: quiet
            ).loss
          })
      }
      return (losses[0], losses[39])
    }
    let learning = try read(Session(model: levels, learn: .on, seed: 0))
    let standing = try read(Session(model: levels, learn: .memory, seed: 0))
    #expect(learning.last < 0.5 * learning.first, "\(learning)")
    #expect(learning.last < 0.5 * standing.last, "\(learning) \(standing)")
  }
}
