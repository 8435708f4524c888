import NestedBase
import NestedTensor

/// A Continuum Memory System (SPEC 3, paper eqs 70-74), fastest level first:
///
///     sequential   z_l = z_{l-1} + MLP_l(RMSNorm_l(z_{l-1})),  y = z_K
///     nested       the same; the levels differ in what a stream does with them
///     independent  y = h + Σ_l w_l MLP_l(RMSNorm_l(h)),  w = softmax(mix)
///
/// `mix` is learnt by a trainer and does not change online; it starts at 0, the mean of the levels. K = 1 with swiglu is the
/// Transformer's feed-forward in every variant.
struct ContinuumMemory: FeedForward {
  private let levels: [MLP]
  private let mix: Int  // -1: a chain

  static func addParameters(
    to layout: inout ParameterLayout.Builder, block layer: Int, _ c: ModelConfiguration
  ) {
    for (l, level) in c.levels.enumerated() {
      MLP.addParameters(
        to: &layout, "\(path(layer, c)).\(l)", c.cms.mlp, hidden: level.hidden, c, level: l)
    }
    if c.cms.variant == .independent {
      layout.add("\(path(layer, c)).mix", [c.levels.count], .constant(0))
    }
  }

  init(_ c: ModelConfiguration, _ layout: ParameterLayout, block layer: Int) {
    let path = ContinuumMemory.path(layer, c)
    levels = c.levels.indices.map { MLP(c, layout, path: "\(path).\($0)") }
    mix = layout.index(of: "\(path).mix") ?? -1
  }

  private static func path(_ layer: Int, _ c: ModelConfiguration) -> String {
    c.kind.readsVectors ? "cms" : "blocks.\(layer).cms"
  }

  func forward(_ engine: Engine, _ p: Parameters, _ h: Tensor) throws(NestedError) -> Tensor {
    if mix >= 0 {
      var parts: [Tensor] = []
      for level in levels { parts.append(try level.branch(engine, p, h)) }
      return try engine.mixture(h, parts, p[mix])
    }
    var z = h
    for level in levels { z = try level.forward(engine, p, z) }
    return z
  }
}
