package import NestedBase
package import NestedModels
package import NestedTensor

/// Ad-hoc level stacking (SPEC 3, paper.md 3.4): a pre-trained Transformer that goes on learning. A new model of kind
/// `hope-attention`, where the feed-forward of every block is level `pretrained` of `cms` (its `hidden` becomes d_ff) and
/// the other levels are new.
///
/// New levels start as SPEC 2 has it (`seed`) but for W_down = 0: they add exactly 0 until they have learnt, so the logits
/// are the Transformer's, bit for bit, and learning rates of 0 leave it so. W_down is the first to receive a gradient.
///
/// `unsupported` for a model of another kind. `config` for levels that a chain of swiglu levels cannot have: under variant
/// independent the pre-trained level would count for a part only.
package func stackLevels(
  on model: Model, cms: CMSConfiguration, pretrained: Int = 0, seed: UInt64 = 0, control: RunControl
) throws(NestedError) -> Model {
  var configuration = model.configuration
  guard configuration.kind == .transformer else {
    throw NestedError(
      .unsupported, "[stack] expected a model of kind transformer, got \(configuration.kind.rawValue)",
      place: "model")
  }
  guard cms.levels.indices.contains(pretrained) else {
    throw NestedError(
      .range, "[stack] there is no level \(pretrained), the levels are \(cms.levels.count)", place: "pretrained")
  }
  guard cms.variant != .independent else {
    throw NestedError(
      .config, "[stack] variant independent would change the logits", place: "/cms/variant")
  }
  guard cms.mlp == .swiglu else {
    throw NestedError(.config, "[stack] a Transformer's feed-forward is a swiglu level", place: "/cms/mlp")
  }
  configuration.kind = .hopeAttention
  configuration.cms = cms
  configuration.cms.levels[pretrained].hidden = configuration.dFF
  try control.report("stack", 0, 1, .nan)
  let stacked = try Model(runtime: model.runtime, configuration: configuration, seed: seed)
  let source = try model.clone()  // steady without a lock around the other model's
  try stacked.withMutableWeights { (to: Floats) in
    source.withWeights { (from: Floats) in
      for entry in stacked.layout.entries {
        let name = transformerName(of: entry, pretrained)
        if let name, let index = source.layout.index(of: name) {
          let place = source.layout.entries[index]
          (to + entry.offset).copy(from: from + place.offset, count: entry.count)
        } else if entry.name.hasSuffix(".down.weight") {
          (to + entry.offset).fill(0, count: entry.count)
        }
      }
    }
  }
  try control.report("stack", 1, 1, .nan)
  return stacked
}

/// The name that a parameter of the stacked model has in the Transformer, nil for those of the new levels.
private func transformerName(of entry: ParameterEntry, _ pretrained: Int) -> String? {
  if entry.level < 0 { return entry.name }
  if entry.level != pretrained { return nil }
  let own = "blocks.\(entry.layer).cms.\(pretrained)"
  return "blocks.\(entry.layer).ffn" + entry.name.dropFirst(own.count)
}
