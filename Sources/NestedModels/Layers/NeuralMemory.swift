import NestedBase
import NestedTensor

/// Titans' neural memory with its projections (paper.md 7.1):
///
///     q, k = l2(silu(conv4(n W))),  v = silu(conv4(n W_V))
///     α = σ(n W_α + b_α),  η = σ(n W_η + b_η),  θ = θ_max σ(n W_θ + b_θ)                    one of each per head and token
///     S_t = η_t S_{t-1} - θ_t ∇ ½‖M_c(k_t) - v_t‖²,  M_t = (1 - α_t) M_{t-1} + S_t,  o_t = M_t(q_t)
///     linear  M(x) = W x            mlp  M(x) = x + LN( W1 gelu(W2 x) )
///
/// c is the state before the token's chunk; with chunk 1 it is M_{t-1}. The papers give LN neither weights nor an eps: it has
/// no weights, and an eps of 1 inside the root, for the reason at `NeuralMemorySpec.normEps`. α is one of a head, as in T1;
/// T2 has one of a channel. The token is read after it was written, as MAC does (T1 leaves it open).
struct NeuralMemory: Sendable {
  let spec: NeuralMemorySpec
  let heads: Int, width: Int
  private let thetaMax: Float
  private let q: ConvolvedProjection?, k: ConvolvedProjection?, v: ConvolvedProjection?
  private let gates: [(weight: Int, bias: Int)]  // α, η, θ
  private let weights: [Int]

  static func addParameters(
    to layout: inout ParameterLayout.Builder, _ path: String, _ c: ModelConfiguration
  ) {
    let (width, heads, d) = (c.dModel, c.nHeads, c.headDim)
    for name in ["q", "k", "v"] { layout.addProjection("\(path).\(name).weight", width, width) }
    for name in ["q", "k", "v"] {
      ConvolvedProjection.addConvolution(to: &layout, "\(path).\(name)", width)
    }
    let biases = TitansConfiguration.initialBiases
    for (name, bias) in [("alpha", biases.alpha), ("eta", biases.eta), ("theta", biases.theta)] {
      layout.addProjection("\(path).\(name).weight", heads, width)
      layout.add("\(path).\(name)_bias", [heads], .constant(bias))
    }
    switch c.titans.memory {
    case .linear:
      layout.add("\(path).memory.mem.w", [heads, d, d], .normal(variance: 0.01, fanIn: d))
    case .mlp:
      let hidden = c.titansHidden
      layout.add("\(path).memory.mem.w2", [heads, hidden, d], .normal(variance: 1, fanIn: d))
      layout.add("\(path).memory.mem.w1", [heads, d, hidden], .normal(variance: 0.01, fanIn: hidden))
    }
  }

  init(_ c: ModelConfiguration, _ layout: ParameterLayout, path: String) {
    (heads, width, thetaMax) = (c.nHeads, c.dModel, c.titans.thetaMax)
    spec = NeuralMemorySpec(
      d: c.headDim, hidden: c.titans.memory == .mlp ? c.titansHidden : 0, chunk: c.titans.chunk)
    func projection(_ name: String) -> ConvolvedProjection? {
      ConvolvedProjection(layout, path: "\(path).\(name)", width: c.dModel)
    }
    func at(_ name: String) -> Int { layout.index(of: "\(path).\(name)") ?? -1 }
    (q, k, v) = (projection("q"), projection("k"), projection("v"))
    gates = ["alpha", "eta", "theta"].map { (at("\($0).weight"), at("\($0)_bias")) }
    weights = (c.titans.memory == .mlp ? ["w2", "w1"] : ["w"]).map { at("memory.mem.\($0)") }
  }

  private var tails: Int { 3 * 3 * width }
  /// The last inputs of the three convolutions, then the memory of every head.
  var stateSize: Int { tails + memorySize }
  /// Floats of the memories of all heads.
  var memorySize: Int { heads * spec.stateSize }

  func initialize(_ state: Floats, _ p: Parameters) {
    state.fill(0, count: tails)
    initializeMemories(state + tails, p)
  }

  func initializeMemories(_ state: Floats, _ p: Parameters) {
    Engine.neuralMemoryState(spec, state, weights.map { p[$0] }, heads: heads)
  }

  /// The memories before the first token [B H, ..].
  func initial(_ engine: Engine, _ p: Parameters, batch: Int) throws(NestedError) -> Tensor {
    try engine.neuralMemoryState(spec, weights.map { p[$0] }, heads: heads, batch: batch)
  }

  /// o [B T, D] for n [B T, D]; `state` is a stream's.
  func forward(
    _ engine: Engine, _ p: Parameters, _ n: Tensor, batch: Int, state: Floats?, position: Int, writes: Bool
  ) throws(NestedError) -> Tensor {
    let (queries, written) = try inputs(engine, p, n, writes: writes) { (projection, slot) throws(NestedError) in
      try projection.forward(engine, p, n, batch: batch, tail: state.map { $0 + slot * projection.stateSize })
    }
    if let state {
      return try engine.neuralMemory(
        spec, q: queries, writes: written, stream: state + tails, heads: heads, position: position)
    }
    return try engine.neuralMemory(
      spec, q: queries, writes: written, state: try initial(engine, p, batch: batch), heads: heads, batch: batch
    ).o
  }

  // MARK: Its parts

  /// How a projection of n is convolved: what came before its first row is known by the convolution's number.
  typealias Convolve = (ConvolvedProjection, Int) throws(NestedError) -> Tensor

  func queries(_ engine: Engine, _ convolve: Convolve) throws(NestedError) -> Tensor {
    guard let q else { return try engine.empty(Shape(1)) }
    return try engine.l2Norm(try convolve(q, 0), heads: heads)
  }

  /// Queries, and what is written.
  func inputs(
    _ engine: Engine, _ p: Parameters, _ n: Tensor, writes: Bool, _ convolve: Convolve
  ) throws(NestedError) -> (q: Tensor, writes: NeuralMemoryWrites?) {
    guard let k, let v else { return (n, nil) }
    let queries = try self.queries(engine, convolve)
    // Convolved also where nothing is written: a stream's tails move on.
    let keys = try engine.l2Norm(try convolve(k, 1), heads: heads), values = try convolve(v, 2)
    if !writes { return (queries, nil) }
    func gate(_ i: Int, _ maximum: Float) throws(NestedError) -> Tensor {
      try engine.sigmoidGate(try engine.linear(n, p[gates[i].weight]), bias: p[gates[i].bias], maximum: maximum)
    }
    return (
      queries,
      NeuralMemoryWrites(
        k: keys, v: values, alpha: try gate(0, 1), eta: try gate(1, 1), theta: try gate(2, thetaMax))
    )
  }
}
