import NestedBase
import NestedTensor

/// A residual MLP with its norm, y = h + W_down a(RMSNorm(h)): a feed-forward, or one level of a Continuum Memory System.
///
///     swiglu   a(n) = silu(W_gate n) ⊙ W_up n           gelu   a(n) = gelu(W_up n)
struct MLP: Sendable {
  private let norm: Int, gate: Int, up: Int, down: Int  // gate -1: gelu
  private let eps: Float

  static func addParameters(
    to layout: inout ParameterLayout.Builder, _ path: String, _ kind: MLPKind, hidden: Int,
    _ c: ModelConfiguration, level: Int = -1
  ) {
    let width = c.dModel
    layout.add("\(path).norm.weight", [width], .constant(1), level: level)
    if kind == .swiglu { layout.addProjection("\(path).gate.weight", hidden, width, level: level) }
    layout.addProjection("\(path).up.weight", hidden, width, level: level)
    layout.addOutput("\(path).down.weight", width, hidden, c, level: level)
  }

  init(_ c: ModelConfiguration, _ layout: ParameterLayout, path: String) {
    eps = c.normEps
    func at(_ name: String) -> Int { layout.index(of: "\(path).\(name).weight") ?? -1 }
    (norm, gate, up, down) = (at("norm"), at("gate"), at("up"), at("down"))
  }

  /// h, y [rows, D]
  func forward(_ engine: Engine, _ p: Parameters, _ h: Tensor) throws(NestedError) -> Tensor {
    try engine.residual(h, try branch(engine, p, h))
  }

  /// y - h
  func branch(_ engine: Engine, _ p: Parameters, _ h: Tensor) throws(NestedError) -> Tensor {
    let n = try engine.rmsNorm(h, p[norm], eps: eps)
    let up = try engine.linear(n, p[up])
    let hidden =
      gate >= 0
      ? try engine.swiglu(try engine.linear(n, p[gate]), up) : try engine.fusedGELU(up)
    return try engine.linear(hidden, p[down])
  }
}

/// The Transformer++ feed-forward (SPEC 1): one swiglu MLP of width `d_ff`, which no stream changes.
struct SwiGLU: FeedForward {
  private let mlp: MLP

  static func addParameters(
    to layout: inout ParameterLayout.Builder, block layer: Int, _ c: ModelConfiguration
  ) {
    MLP.addParameters(to: &layout, "blocks.\(layer).ffn", .swiglu, hidden: c.dFF, c)
  }
  init(_ c: ModelConfiguration, _ layout: ParameterLayout, block layer: Int) {
    mlp = MLP(c, layout, path: "blocks.\(layer).ffn")
  }
  func forward(_ engine: Engine, _ p: Parameters, _ h: Tensor) throws(NestedError) -> Tensor {
    try mlp.forward(engine, p, h)
  }
}
