import NestedBase
import NestedTensor

/// Multi-scale retention (SPEC 5.2, paper.md 7.2, RetNet eqs 5-8):
///
///     S_t = γ_h S_{t-1} + k_t v_tᵀ,  o_t = S_tᵀ q_t,  γ_h = 1 - 2^(-5-h)
///     Mixer(n) = ( RMSNorm_head(o) ⊙ silu(n W_G) ) W_O          q = RoPE(n W_Q),  k = RoPE(n W_K) / √d
///
/// Values have twice the width of keys. RMSNorm takes GroupNorm's place, with a weight per channel.
struct Retention: Mixer {
  private let heads: Int, d: Int, width: Int
  private let eps: Float
  private let frequencies: [Double]
  private let norm: Int, q: Int, k: Int, v: Int, gate: Int, headNorm: Int, out: Int

  static func addParameters(
    to layout: inout ParameterLayout.Builder, _ path: String, _ c: ModelConfiguration
  ) {
    let width = c.dModel
    layout.add("\(path).norm.weight", [width], .constant(1))
    layout.addProjection("\(path).q.weight", width, width)
    layout.addProjection("\(path).k.weight", width, width)
    layout.addProjection("\(path).v.weight", 2 * width, width)
    layout.add("\(path).head_norm.weight", [2 * width], .constant(1))
    layout.addProjection("\(path).gate.weight", 2 * width, width)
    layout.addOutput("\(path).out.weight", width, 2 * width, c)
  }

  init(_ c: ModelConfiguration, _ layout: ParameterLayout, path: String) {
    (heads, d, width, eps) = (c.nHeads, c.headDim, c.dModel, c.normEps)
    frequencies = c.rotaryFrequencies
    func at(_ name: String) -> Int { layout.index(of: "\(path).\(name).weight") ?? -1 }
    (norm, q, k, v) = (at("norm"), at("q"), at("k"), at("v"))
    (gate, headNorm, out) = (at("gate"), at("head_norm"), at("out"))
  }

  var stateSize: Int { width * 2 * d }
  func initialize(_ state: Floats, _ p: Parameters) { state.fill(0, count: stateSize) }

  func forward(
    _ engine: Engine, _ p: Parameters, _ x: Tensor, batch: Int, stream: LayerStream?
  ) throws(NestedError) -> Tensor {
    let n = try engine.rmsNorm(x, p[norm], eps: eps)
    func turned(_ weight: Int) throws(NestedError) -> Tensor {
      try engine.rotary(
        try engine.linear(n, p[weight]), heads: heads, batch: batch, position: stream?.position ?? 0,
        frequencies: frequencies)
    }
    let keys = try engine.scale(try turned(k), 1 / Float(d).squareRoot())
    let decay = try engine.empty(Shape(x.count / width, heads))
    for i in 0..<decay.count { decay.floats[i] = 1 - Float(sign: .plus, exponent: -5 - i % heads, significand: 1) }
    let o = try engine.linearMemory(
      q: try turned(q), k: keys, v: try engine.linear(n, p[v]), alpha: decay, heads: heads, batch: batch,
      state: stream?.state)
    let gated = try engine.gatedHeadNorm(
      o, p[headNorm], try engine.linear(n, p[gate]), heads: heads, eps: eps)
    return try engine.residual(x, try engine.linear(gated, p[out]))
  }
}

/// RetNet's feed-forward (eq 9): gelu, twice the model's width.
struct RetNetFeedForward: FeedForward {
  private let mlp: MLP

  static func addParameters(
    to layout: inout ParameterLayout.Builder, block layer: Int, _ c: ModelConfiguration
  ) {
    MLP.addParameters(to: &layout, "blocks.\(layer).ffn", .gelu, hidden: 2 * c.dModel, c)
  }
  init(_ c: ModelConfiguration, _ layout: ParameterLayout, block layer: Int) {
    mlp = MLP(c, layout, path: "blocks.\(layer).ffn")
  }
  func forward(_ engine: Engine, _ p: Parameters, _ h: Tensor) throws(NestedError) -> Tensor {
    try mlp.forward(engine, p, h)
  }
}
