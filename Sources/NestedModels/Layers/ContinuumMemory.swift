import NestedBase
import NestedTensor

/// A Continuum Memory System, sequential variant (SPEC 3, paper eqs 70, 73): z_l = z_{l-1} + MLP_l(RMSNorm_l(z_{l-1})),
/// fastest level first. K = 1 with swiglu is the Transformer's feed-forward.
struct ContinuumMemory: FeedForward {
  private let levels: [MLP]

  static func addParameters(
    to layout: inout ParameterLayout.Builder, block layer: Int, _ c: ModelConfiguration
  ) {
    for (l, level) in c.levels.enumerated() {
      MLP.addParameters(
        to: &layout, "blocks.\(layer).cms.\(l)", c.cms.mlp, hidden: level.hidden, c, level: l)
    }
  }

  init(_ c: ModelConfiguration, _ layout: ParameterLayout, block layer: Int) {
    levels = c.levels.indices.map { MLP(c, layout, path: "blocks.\(layer).cms.\($0)") }
  }

  func forward(_ engine: Engine, _ p: Parameters, _ h: Tensor) throws(NestedError) -> Tensor {
    var z = h
    for level in levels { z = try level.forward(engine, p, z) }
    return z
  }
}
