import NestedBase
import NestedTensor

/// DeltaNet and Gated DeltaNet (paper.md 7.4):
///
///     S_t = α_t S_{t-1} (I - β_t k_t k_tᵀ) + β_t v_t k_tᵀ,  o_t = S_t q_t / √d
///     q, k = l2(silu(conv4(n W))),  v = silu(conv4(n W_V)),  β = σ(n W_β)
///     α = 1, and Mixer(n) = RMSNorm_head(o) W_O;  gated: α = exp(-e^a_log softplus(n W_a + dt_bias)), and
///     Mixer(n) = ( RMSNorm_head(o) ⊙ silu(n W_G) ) W_O
///
/// Keys and values have the width of a head. A stream's mode does not matter: the memory is the layer's only state.
struct DeltaNet: Mixer {
  private let heads: Int, d: Int, width: Int
  private let eps: Float
  private let q: ConvolvedProjection?, k: ConvolvedProjection?, v: ConvolvedProjection?
  private let norm: Int, beta: Int, headNorm: Int, out: Int
  private let gate: Int, a: Int, aLog: Int, dtBias: Int  // -1: not gated

  static func addParameters(
    to layout: inout ParameterLayout.Builder, _ path: String, _ c: ModelConfiguration
  ) {
    let width = c.dModel
    layout.add("\(path).norm.weight", [width], .constant(1))
    for name in ["q", "k", "v"] { layout.addProjection("\(path).\(name).weight", width, width) }
    for name in ["q", "k", "v"] {
      ConvolvedProjection.addConvolution(to: &layout, "\(path).\(name)", width)
    }
    layout.addProjection("\(path).beta.weight", c.nHeads, width)
    if c.kind == .gatedDeltanet {
      layout.addProjection("\(path).a.weight", c.nHeads, width)
      layout.add("\(path).a_log", [c.nHeads], .logarithmOfUniform(below: 16))
      layout.add("\(path).dt_bias", [c.nHeads], .timeStep(from: 1e-3, to: 0.1))
      layout.add("\(path).head_norm.weight", [width], .constant(1))
      layout.addProjection("\(path).gate.weight", width, width)
    } else {
      layout.add("\(path).head_norm.weight", [c.headDim], .constant(1))
    }
    layout.addOutput("\(path).out.weight", width, width, c)
  }

  init(_ c: ModelConfiguration, _ layout: ParameterLayout, path: String) {
    (heads, d, width, eps) = (c.nHeads, c.headDim, c.dModel, c.normEps)
    func projection(_ name: String) -> ConvolvedProjection? {
      ConvolvedProjection(layout, path: "\(path).\(name)", width: c.dModel)
    }
    func at(_ name: String) -> Int { layout.index(of: "\(path).\(name)") ?? -1 }
    (q, k, v) = (projection("q"), projection("k"), projection("v"))
    (norm, beta, headNorm) = (at("norm.weight"), at("beta.weight"), at("head_norm.weight"))
    (gate, a, aLog, dtBias) = (at("gate.weight"), at("a.weight"), at("a_log"), at("dt_bias"))
    out = at("out.weight")
  }

  private var tails: Int { 3 * 3 * width }
  var stateSize: Int { tails + width * d }
  func initialize(_ state: Floats, _ p: Parameters) { state.fill(0, count: stateSize) }

  func forward(
    _ engine: Engine, _ p: Parameters, _ x: Tensor, batch: Int, stream: LayerStream?
  ) throws(NestedError) -> Tensor {
    guard let q, let k, let v else { return x }
    let n = try engine.rmsNorm(x, p[norm], eps: eps)
    func input(_ projection: ConvolvedProjection, _ slot: Int) throws(NestedError) -> Tensor {
      try projection.forward(
        engine, p, n, batch: batch, tail: stream.map { $0.state + slot * projection.stateSize })
    }
    let queries = try engine.scale(
      try engine.l2Norm(try input(q, 0), heads: heads), 1 / Float(d).squareRoot())
    let keys = try engine.l2Norm(try input(k, 1), heads: heads)
    let rate = try engine.sigmoid(try engine.linear(n, p[beta]))
    let decay =
      gate >= 0
      ? try engine.decayGate(try engine.linear(n, p[a]), rate: p[aLog], bias: p[dtBias])
      : try engine.full(rate.shape, 1)
    let o = try engine.linearMemory(
      q: queries, k: keys, v: try input(v, 2), alpha: decay, beta: rate, heads: heads, batch: batch,
      state: stream.map { $0.state + tails })
    let normed: Tensor
    if gate >= 0 {
      normed = try engine.gatedHeadNorm(
        o, p[headNorm], try engine.linear(n, p[gate]), heads: heads, eps: eps)
    } else {
      let perHead = try engine.reshape(o, Shape(o.count / d, d))
      normed = try engine.reshape(try engine.rmsNorm(perHead, p[headNorm], eps: eps), o.shape)
    }
    return try engine.residual(x, try engine.linear(normed, p[out]))
  }
}
