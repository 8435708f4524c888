import NestedBase
import NestedTensor

/// Attention alone as a mixer (SPEC 5.1, paper.md 7.3):
///
///     h = x + W_O Attn( RoPE(W_Q n), RoPE(W_K n), W_V n ),  n = RMSNorm(x)
struct Attention: Mixer {
  private let attention: CausalAttention
  private let eps: Float
  private let norm: Int, out: Int

  static func addParameters(
    to layout: inout ParameterLayout.Builder, _ path: String, _ c: ModelConfiguration
  ) {
    layout.add("\(path).norm.weight", [c.dModel], .constant(1))
    CausalAttention.addParameters(to: &layout, path, c)
    layout.addOutput("\(path).out.weight", c.dModel, c.dModel, c)
  }

  init(_ c: ModelConfiguration, _ layout: ParameterLayout, path: String) {
    attention = CausalAttention(c, layout, path: path, window: c.window)
    eps = c.normEps
    norm = layout.index(of: "\(path).norm.weight") ?? -1
    out = layout.index(of: "\(path).out.weight") ?? -1
  }

  var stateSize: Int { 0 }
  var rowSize: Int { attention.rowSize }
  func initialize(_ state: Floats, _ p: Parameters) {}

  func forward(
    _ engine: Engine, _ p: Parameters, _ x: Tensor, batch: Int, stream: LayerStream?
  ) throws(NestedError) -> Tensor {
    let n = try engine.rmsNorm(x, p[norm], eps: eps)
    let o = try attention.forward(engine, p, n, batch: batch, stream: stream)
    return try engine.residual(x, try engine.linear(o, p[out]))
  }
}
