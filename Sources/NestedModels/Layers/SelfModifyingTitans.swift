import NestedBase
import NestedTensor

/// Self-modifying Titans as a layer (SPEC 2, paper eqs 83-97): projections, short convolutions, the scan and the gated
/// output. Holds where its parameters stand in the layout; the weights come in with every call.
struct SelfModifyingTitans: Mixer {
  let spec: ScanSpec
  let width: Int  // D
  let heads: Int
  let eps: Float
  let truncate: Int  // tokens between which no gradient flows, 0 = never
  let q: ConvolvedProjection?, u: ConvolvedProjection?, v: ConvolvedProjection?  // v nil: u in its place
  let norm: Int
  let headNorm: Int, gate: Int, out: Int, etaBias: Int, alphaBias: Int
  let memories: [Int]  // in the order of ScanSpec.memoryPlaces

  static func addParameters(
    to layout: inout ParameterLayout.Builder, _ path: String, _ c: ModelConfiguration
  ) {
    let width = c.dModel
    var inputs = ["q"]
    var convolutions = ["q", "u"]
    if c.memory.inputProjection != .none { inputs.append("u") }
    if c.memory.inputProjection == .separate {
      inputs.append("v")
      convolutions.append("v")
    }
    layout.add("\(path).norm.weight", [width], .constant(1))
    for name in inputs { layout.addProjection("\(path).\(name).weight", width, width) }
    for name in convolutions {
      ConvolvedProjection.addConvolution(to: &layout, "\(path).\(name)", width)
    }
    /// The initial state of one memory: linear w [H, outputs, d]; mlp w2 [H, F, d], then w1 [H, outputs, F].
    func addMemory(_ name: String, outputs: Int) {
      let path = "\(path).memory.\(name)"
      let (heads, d, hidden) = (c.nHeads, c.headDim, c.memoryHidden)
      switch c.memory.type {
      case .linear: layout.add("\(path).w", [heads, outputs, d], .normal(variance: 0.01, fanIn: d))
      case .mlp:
        layout.add("\(path).w2", [heads, hidden, d], .normal(variance: 1, fanIn: d))
        layout.add("\(path).w1", [heads, outputs, hidden], .normal(variance: 0.01, fanIn: hidden))
      }
    }
    if c.memory.adaptiveQ { addMemory("q", outputs: c.headDim) }
    addMemory("k", outputs: c.headDim)
    addMemory("v", outputs: c.headDim)
    addMemory("eta", outputs: 1)
    layout.add("\(path).eta_bias", [c.nHeads], .constant(MemoryConfiguration.initialEtaBias))
    addMemory("alpha", outputs: 1)
    layout.add("\(path).alpha_bias", [c.nHeads], .constant(MemoryConfiguration.initialAlphaBias))
    addMemory("mem", outputs: c.headDim)
    layout.add("\(path).head_norm.weight", [width], .constant(1))
    layout.addProjection("\(path).gate.weight", width, width)
    layout.addOutput("\(path).out.weight", width, width, c)
  }

  init(_ c: ModelConfiguration, _ layout: ParameterLayout, path: String) {
    let m = c.memory
    width = c.dModel
    spec = ScanSpec(
      headDim: c.headDim, hidden: m.type == .mlp ? c.memoryHidden : 0, dot: m.objective == .dot,
      delta: m.innerRule == .dgd, outerDelta: m.outerRule == .dgd && m.innerRule == .dgd,
      momentum: m.innerMomentum, retention: m.retention, normalizeValue: m.normalizeValue,
      adaptiveQ: m.adaptiveQ, adapt: m.adapt.rawValue, memoryChunk: m.memoryChunk,
      projectionChunk: m.projectionChunk, readsToken: m.read == .token, etaMax: m.etaMax)
    heads = c.nHeads
    eps = c.normEps
    truncate = m.truncateBPTT * m.memoryChunk
    func at(_ name: String) -> Int { layout.index(of: "\(path).\(name)") ?? -1 }
    norm = at("norm.weight")
    q = ConvolvedProjection(layout, path: "\(path).q", width: c.dModel)
    u = ConvolvedProjection(layout, path: "\(path).u", width: c.dModel)
    v = ConvolvedProjection(layout, path: "\(path).v", width: c.dModel)
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
  var stateSize: Int { tails + heads * spec.stateSize }
  private var tails: Int { (v == nil ? 2 : 3) * 3 * width }

  func initialize(_ state: Floats, _ p: Parameters) {
    state.fill(0, count: tails)
    spec.initialize(state + tails, heads: heads, memories: memories.map { p[$0] })
  }

  func isValid(_ state: Floats, position: Int) -> Bool {
    (0..<heads).allSatisfy {
      spec.isValid(state + tails + $0 * spec.stateSize, position: position)
    }
  }

  func forward(
    _ engine: Engine, _ p: Parameters, _ x: Tensor, batch: Int, stream: LayerStream?
  ) throws(NestedError) -> Tensor {
    let n = try engine.rmsNorm(x, p[norm], eps: eps)

    func input(_ projection: ConvolvedProjection?, _ slot: Int) throws(NestedError) -> Tensor? {
      try projection?.forward(
        engine, p, n, batch: batch, tail: stream.map { $0.state + slot * 3 * width })
    }
    guard let rawQ = try input(q, 0), let us = try input(u, 1) else { return x }
    let queries = spec.adaptiveQ ? rawQ : try engine.l2Norm(rawQ, heads: heads)
    let uvs = try input(v, 2) ?? us

    let scanStream = stream.map {
      ScanStream(state: $0.state + tails, position: $0.position, writes: $0.writes)
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
}
