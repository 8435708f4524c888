import NestedBase
import NestedTensor

/// Self-modifying Titans as a layer (SPEC 2, paper eqs 83-97): projections, short convolutions, the scan and the gated
/// output. Holds where its parameters stand in the layout; the weights come in with every call.
struct SelfModifyingTitans: Sendable {
  let spec: ScanSpec
  let heads: Int
  let eps: Float
  let truncate: Int  // tokens between which no gradient flows, 0 = never
  let norm: Int, q: Int, qConv: Int, u: Int, uConv: Int, v: Int, vConv: Int  // -1: not there
  let headNorm: Int, gate: Int, out: Int, etaBias: Int, alphaBias: Int
  let memories: [Int]  // in the order of ScanSpec.memoryPlaces

  init(_ c: ModelConfiguration, _ layout: ParameterLayout, layer: Int) {
    let m = c.memory
    spec = ScanSpec(
      headDim: c.headDim, hidden: m.type == .mlp ? c.memoryHidden : 0, dot: m.objective == .dot,
      delta: m.innerRule == .dgd, outerDelta: m.outerRule == .dgd && m.innerRule == .dgd,
      momentum: m.innerMomentum, retention: m.retention, normalizeValue: m.normalizeValue,
      adaptiveQ: m.adaptiveQ, adapt: m.adapt.rawValue, memoryChunk: m.memoryChunk,
      projectionChunk: m.projectionChunk, readsToken: m.read == .token, etaMax: m.etaMax)
    heads = c.nHeads
    eps = c.normEps
    truncate = m.truncateBPTT * m.memoryChunk
    let path = "blocks.\(layer).mixer."
    func at(_ name: String) -> Int { layout.index(of: path + name) ?? -1 }
    norm = at("norm.weight")
    q = at("q.weight")
    qConv = at("q_conv.weight")
    u = at("u.weight")
    uConv = at("u_conv.weight")
    v = at("v.weight")
    vConv = at("v_conv.weight")
    headNorm = at("head_norm.weight")
    gate = at("gate.weight")
    out = at("out.weight")
    etaBias = at("eta_bias")
    alphaBias = at("alpha_bias")
    var indices: [Int] = []
    for name in ["k", "v", "eta", "alpha", "mem"] + (m.adaptiveQ ? ["q"] : []) {
      for part in m.type == .mlp ? ["w2", "w1"] : ["w"] { indices.append(at("memory.\(name).\(part)")) }
    }
    memories = indices
  }

  /// A stream's state in this layer: the last 3 inputs of each convolution, then the memories of every head.
  var convolutions: Int { vConv >= 0 ? 3 : 2 }
  func stateSize(width: Int) -> Int { convolutions * 3 * width + heads * spec.stateSize }

  /// The state before the first token.
  func initialize(_ state: Floats, width: Int, _ p: Parameters) {
    state.fill(0, count: convolutions * 3 * width)
    spec.initialize(state + convolutions * 3 * width, heads: heads, memories: memories.map { p[$0] })
  }

  /// h = x + Mixer(RMSNorm(x)); x, h [B T, D]. With a stream, `state` is changed in place.
  func forward(
    _ engine: Engine, _ p: Parameters, _ x: Tensor, batch: Int, stream: HopeStream?, state: Floats?
  ) throws(NestedError) -> Tensor {
    let width = x.shape.last
    let n = try engine.rmsNorm(x, p[norm], eps: eps)

    /// silu(conv4(n W)), or silu(conv4(n)) where there is no W.
    func input(_ weight: Int, _ convolution: Int, _ slot: Int) throws(NestedError) -> Tensor {
      let projected = weight >= 0 ? try engine.linear(n, p[weight]) : n
      let tail = state.map { $0 + slot * 3 * width }
      let y = try engine.shortConvolution(projected, p[convolution], batch: batch, tail: tail)
      if let tail { advance(tail, projected, width) }
      return y
    }
    let rawQ = try input(q, qConv, 0)
    let queries = spec.adaptiveQ ? rawQ : try engine.l2Norm(rawQ, heads: heads)
    let us = try input(u, uConv, 1)
    let uvs = vConv >= 0 ? try input(v, vConv, 2) : us

    var scanStream: ScanStream? = nil
    if let stream, let state {
      scanStream = ScanStream(
        state: state + convolutions * 3 * width, position: stream.position, writes: stream.writes)
    }
    // A stream brings its memories along; their initial values are needed for fresh rows only.
    let initial = scanStream == nil ? memories.map { p[$0] } : []
    let o = try engine.selfModifyingScan(
      spec, u: us, uv: uvs, q: queries, memories: initial, etaBias: p[etaBias], alphaBias: p[alphaBias],
      batch: batch, stream: scanStream, truncate: truncate)
    let gated = try engine.gatedHeadNorm(
      o, p[headNorm], try engine.linear(n, p[gate]), heads: heads, eps: eps)
    return try engine.residual(x, try engine.linear(gated, p[out]))
  }

  /// The convolution's last 3 inputs, oldest first.
  private func advance(_ tail: Floats, _ x: Tensor, _ width: Int) {
    let rows = x.count / width
    for j in 0..<3 {
      let row = rows - 3 + j
      (tail + j * width).copy(
        from: row >= 0 ? x.floats + row * width : tail + (row + 3) * width, count: width)
    }
  }
}
