import NestedBase
import NestedTensor

/// A Continuum Memory System, sequential variant (SPEC 3, paper eqs 70, 73): z_l = z_{l-1} + MLP_l(RMSNorm_l(z_{l-1})),
/// fastest level first. K = 1 with swiglu is the Transformer's feed-forward.
struct ContinuumMemory: FeedForward {
  private struct Level: Sendable {
    let norm: Int, gate: Int, up: Int, down: Int  // gate -1: gelu
  }
  private let levels: [Level]
  private let eps: Float

  static func addParameters(
    to layout: inout ParameterLayout.Builder, block layer: Int, _ c: ModelConfiguration
  ) {
    let width = c.dModel
    for (l, level) in c.levels.enumerated() {
      let path = "blocks.\(layer).cms.\(l)"
      layout.add("\(path).norm.weight", [width], .constant(1), level: l)
      if c.cms.mlp == .swiglu { layout.addProjection("\(path).gate.weight", level.hidden, width, level: l) }
      layout.addProjection("\(path).up.weight", level.hidden, width, level: l)
      layout.addOutput("\(path).down.weight", width, level.hidden, c, level: l)
    }
  }

  init(_ c: ModelConfiguration, _ layout: ParameterLayout, block layer: Int) {
    eps = c.normEps
    levels = c.levels.indices.map { l in
      let path = "blocks.\(layer).cms.\(l)."
      func at(_ name: String) -> Int { layout.index(of: path + name) ?? -1 }
      return Level(
        norm: at("norm.weight"), gate: at("gate.weight"), up: at("up.weight"), down: at("down.weight"))
    }
  }

  func forward(_ engine: Engine, _ p: Parameters, _ h: Tensor) throws(NestedError) -> Tensor {
    var z = h
    for level in levels {
      let n = try engine.rmsNorm(z, p[level.norm], eps: eps)
      let up = try engine.linear(n, p[level.up])
      let hidden: Tensor
      if level.gate >= 0 {
        hidden = try engine.swiglu(try engine.linear(n, p[level.gate]), up)
      } else {
        hidden = try engine.fusedGELU(up)
      }
      z = try engine.residual(z, try engine.linear(hidden, p[level.down]))
    }
    return z
  }
}
