package import NestedBase
package import NestedCheckpoint
package import NestedTensor

extension Model {
  /// The model of another library's checkpoint: transformers' LlamaForCausalLM becomes a `transformer` with the same
  /// logits. Everything is proved before memory is taken: a small folder decides no large allocation. From then on there
  /// is one copy of the weights, and of tied ones a second copy of the embedding where the checkpoint has it.
  package static func importing(
    _ folder: FilePath, runtime: Runtime, control: RunControl
  ) throws(NestedError) -> Model {
    let configuration = try ModelConfiguration(llama: CheckpointFolder.configuration(of: folder))
    let checkpoint = try CheckpointFolder(folder)
    let layout = ParameterLayout(configuration)
    try check(checkpoint, layout, configuration)
    var done = 0
    let model = try Model(runtime: runtime, configuration: configuration) { (entry, target) throws(NestedError) in
      try control.report("import", 4 * done, 4 * layout.count, .nan)
      try read(checkpoint, llamaName(of: entry.name), into: target, runtime)
      done += entry.count
    }
    try checkTie(checkpoint, model)
    try control.report("import", 4 * done, 4 * layout.count, .nan)
    return model
  }

  /// Every parameter has its tensor, of its shape and of floats, and every tensor its parameter.
  private static func check(
    _ checkpoint: CheckpointFolder, _ layout: ParameterLayout, _ configuration: ModelConfiguration
  ) throws(NestedError) {
    var known = Set<String>()
    for entry in layout.entries {
      let name = llamaName(of: entry.name)
      known.insert(name)
      guard let (record, _) = checkpoint.tensor(name) else {
        throw NestedError(.corrupt, "[import] the checkpoint lacks a tensor", place: name)
      }
      try check(record, entry.shape)
    }
    for name in checkpoint.names where !known.contains(name) {
      // Written by older versions; computed here.
      if name.hasSuffix(".self_attn.rotary_emb.inv_freq") { continue }
      if name.isSameBytes(as: tiedHead), configuration.tieEmbeddings, let (record, _) = checkpoint.tensor(name) {
        try check(record, [configuration.vocab, configuration.dModel])
        continue
      }
      throw NestedError(.corrupt, "[import] the configuration has no such tensor", place: name)
    }
  }

  private static func check(_ record: TensorRecord, _ shape: [Int]) throws(NestedError) {
    guard record.shape == shape else {
      throw NestedError(.shape, "[import] expected shape \(shape), got \(record.shape)", place: record.name)
    }
    guard [.f32, .f16, .bf16].contains(record.element) else {
      throw NestedError(
        .dtype, "[import] expected F32, F16 or BF16, got \(record.element.rawValue)", place: record.name)
    }
  }

  private static func read(
    _ checkpoint: CheckpointFolder, _ name: String, into target: Floats, _ runtime: Runtime
  ) throws(NestedError) {
    guard let (record, file) = checkpoint.tensor(name) else { return }
    try file.readFloats(record, into: target)
    guard runtime.kernels.allFinite(target, record.count) else {
      throw NestedError(.numeric, "[import] holds values that are not finite", place: name)
    }
  }

  private static let tiedHead = "lm_head.weight"

  /// A head that is the embedding may be there all the same, if it is the same.
  private static func checkTie(_ checkpoint: CheckpointFolder, _ model: Model) throws(NestedError) {
    guard model.configuration.tieEmbeddings, let (record, file) = checkpoint.tensor(tiedHead),
      let index = model.layout.index(of: "embed.weight")
    else { return }
    let head = try Storage(count: record.count, budget: model.runtime.budget)
    try file.readFloats(record, into: head.floats)
    let offset = model.layout.entries[index].offset
    let isSame = model.withWeights { (weights: Floats) in
      (0..<record.count).allSatisfy { weights[offset + $0].bitPattern == head.floats[$0].bitPattern }
    }
    guard isSame else {
      throw NestedError(
        .corrupt, "[import] differs from the embedding, though config.json ties the two", place: tiedHead)
    }
  }

  /// The name that transformers gives a parameter of kind `transformer`.
  private static func llamaName(of name: String) -> String {
    switch name {
    case "embed.weight": return "model.embed_tokens.weight"
    case "norm.weight": return "model.norm.weight"
    case "head.weight": return tiedHead
    default: break
    }
    let parts = name.split(separator: ".", maxSplits: 2)  // blocks, 0, mixer.q.weight
    let own =
      switch parts.last ?? "" {
      case "mixer.norm.weight": "input_layernorm"
      case "mixer.q.weight": "self_attn.q_proj"
      case "mixer.k.weight": "self_attn.k_proj"
      case "mixer.v.weight": "self_attn.v_proj"
      case "mixer.out.weight": "self_attn.o_proj"
      case "ffn.norm.weight": "post_attention_layernorm"
      case "ffn.gate.weight": "mlp.gate_proj"
      case "ffn.up.weight": "mlp.up_proj"
      default: "mlp.down_proj"
      }
    return "model.layers.\(parts[1]).\(own).weight"
  }
}
