import NestedBase
import NestedTensor

/// Test-time training layers (paper.md 7.5, Sun et al. 2024): the state is a model f that is trained on each token before
/// it is read.
///
///     l(W; x) = ½ ‖k + LN(f(k; W)) - v‖²,  f linear: W1 k + b1,  f mlp: W2 gelu(W1 k + b1) + b2
///     W_t = W_c - s_i Σ_{j ≤ t} η_j ∇l(W_c; x_j),  o_t = q_t + LN(f(q_t; W_t))
///     Mixer(n) = RMSNorm(o) W_O;  q, k: RoPE with the position in the mini-batch
///
/// c is the start of a mini-batch of 16 tokens, t its i-th token, s_i = max(0, 1/i + offset_i),
/// η = η_base σ(n W_lr) / d. RMSNorm takes the place of the papers' LayerNorm before the projection.
///
/// Written in plain operations: the second derivatives of LN and gelu come from the tape. A batch goes mini-batch by
/// mini-batch, a stream token by token, which is the same formula with one row. Modes do not matter to a stream: W is
/// the layer's only state.
struct TestTimeTraining: Mixer {
  private static let miniBatch = 16

  private let heads: Int, d: Int, hidden: Int  // hidden 0: linear
  private let eps: Float, rate: Float
  private let frequencies: [Double]
  private let norm: Int, q: Int, k: Int, v: Int, lr: Int, offset: Int, out: Int, postNorm: Int
  private let lnWeight: Int, lnBias: Int
  private let weights: [Int]  // w1, b1 (, w2, b2)

  static func addParameters(
    to layout: inout ParameterLayout.Builder, _ path: String, _ c: ModelConfiguration
  ) {
    let (width, heads, d) = (c.dModel, c.nHeads, c.headDim)
    layout.add("\(path).norm.weight", [width], .constant(1))
    for name in ["q", "k", "v"] { layout.addProjection("\(path).\(name).weight", width, width) }
    layout.addProjection("\(path).lr.weight", heads, width)
    layout.add("\(path).token_offset", [miniBatch], .constant(0))
    let small = InitialValue.normal(deviation: 0.02)
    let hidden = c.kind == .tttMLP ? 4 * d : d
    layout.add("\(path).memory.w1", [heads, hidden, d], small)
    layout.add("\(path).memory.b1", [heads, hidden], .constant(0))
    if c.kind == .tttMLP {
      layout.add("\(path).memory.w2", [heads, d, hidden], small)
      layout.add("\(path).memory.b2", [heads, d], .constant(0))
    }
    layout.add("\(path).memory.norm.weight", [heads, d], .constant(1))
    layout.add("\(path).memory.norm.bias", [heads, d], .constant(0))
    layout.add("\(path).post_norm.weight", [width], .constant(1))
    layout.addOutput("\(path).out.weight", width, width, c)
  }

  init(_ c: ModelConfiguration, _ layout: ParameterLayout, path: String) {
    (heads, d, eps, frequencies) = (c.nHeads, c.headDim, c.normEps, c.rotaryFrequencies)
    hidden = c.kind == .tttMLP ? 4 * c.headDim : 0
    rate = (c.kind == .tttMLP ? 0.1 : 1) / Float(c.headDim)
    func at(_ name: String) -> Int { layout.index(of: "\(path).\(name)") ?? -1 }
    (norm, q, k, v) = (at("norm.weight"), at("q.weight"), at("k.weight"), at("v.weight"))
    (lr, offset, out, postNorm) = (at("lr.weight"), at("token_offset"), at("out.weight"), at("post_norm.weight"))
    (lnWeight, lnBias) = (at("memory.norm.weight"), at("memory.norm.bias"))
    weights = (c.kind == .tttMLP ? ["w1", "b1", "w2", "b2"] : ["w1", "b1"]).map { at("memory.\($0)") }
  }

  // MARK: State: W_c, then the sums of the mini-batch, each w1 [H, ·, d], b1 [H, ·], (w2, b2)

  private var sizes: [[Int]] {
    hidden == 0
      ? [[heads, d, d], [heads, 1, d]]
      : [[heads, d, hidden], [heads, 1, hidden], [heads, hidden, d], [heads, 1, d]]
  }
  private var weightCount: Int { sizes.reduce(0) { $0 + $1.reduce(1, *) } }
  var stateSize: Int { 2 * weightCount }

  /// Matrices are kept transposed, so that rows multiply from the left.
  func initialize(_ state: Floats, _ p: Parameters) {
    var at = 0
    for (index, size) in zip(weights, sizes) {
      let (rows, cols) = (size[1], size[2])
      let source = p[index].floats
      for h in 0..<heads {
        for i in 0..<rows {
          for j in 0..<cols {
            state[at + (h * rows + i) * cols + j] = source[h * rows * cols + (rows == 1 ? j : j * rows + i)]
          }
        }
      }
      at += heads * rows * cols
    }
    (state + at).fill(0, count: at)
  }

  func forward(
    _ engine: Engine, _ p: Parameters, _ x: Tensor, batch: Int, stream: LayerStream?
  ) throws(NestedError) -> Tensor {
    let width = heads * d, length = x.count / width / batch
    let n = try engine.rmsNorm(x, p[norm], eps: eps)
    let split = try engine.reshape(n, Shape(batch, length, width))
    func inputs(_ at: Int, _ count: Int, position: Int) throws(NestedError) -> TestTimeInputs {
      let piece = try engine.reshape(
        try engine.slice(split, axis: 1, start: at, count: count), Shape(batch * count, width))
      func turned(_ weight: Int) throws(NestedError) -> Tensor {
        try engine.rotary(
          try engine.linear(piece, p[weight]), heads: heads, batch: batch, position: position,
          frequencies: frequencies)
      }
      /// [B n, H a] → [B H, n, a]
      func perHead(_ x: Tensor) throws(NestedError) -> Tensor {
        let own = x.shape.last / heads
        let parts = try engine.reshape(x, Shape(batch, count, heads, own))
        return try engine.reshape(
          try engine.permute(parts, [0, 2, 1, 3]), Shape(batch * heads, count, own))
      }
      let rates = try engine.scale(try engine.sigmoid(try engine.linear(piece, p[lr])), rate)
      return TestTimeInputs(
        q: try perHead(try turned(q)), k: try perHead(try turned(k)),
        v: try perHead(try engine.linear(piece, p[v])), rate: try perHead(rates),
        offset: try engine.slice(p[offset], axis: 0, start: position, count: count), first: position + 1)
    }

    var memory = try TestTimeMemory(
      engine, weights: start(engine, p, batch, stream), sums: sums(engine, batch, stream),
      lnWeight: spread(engine, p[lnWeight], batch), lnBias: spread(engine, p[lnBias], batch))
    var outputs: [Tensor] = []
    var at = 0
    while at < length {
      let position = ((stream?.position ?? 0) + at) % Self.miniBatch
      let count = stream == nil ? min(Self.miniBatch, length - at) : 1
      outputs.append(try memory.step(engine, try inputs(at, count, position: position)))
      at += count
      if stream != nil { store(memory, stream) }
    }
    let o = outputs.count == 1 ? outputs[0] : try engine.concatenate(outputs, axis: 1)
    let joined = try engine.permute(try engine.reshape(o, Shape(batch, heads, length, d)), [0, 2, 1, 3])
    let y = try engine.rmsNorm(
      try engine.reshape(joined, Shape(batch * length, width)), p[postNorm], eps: eps)
    return try engine.residual(x, try engine.linear(y, p[out]))
  }

  /// The weights as [B H, rows, cols]: the model's initial ones, or a stream's.
  private func start(
    _ engine: Engine, _ p: Parameters, _ batch: Int, _ stream: LayerStream?
  ) throws(NestedError) -> [Tensor] {
    if let stream { return try read(engine, stream.state) }
    var result: [Tensor] = []
    for (index, size) in zip(weights, sizes) {
      if size[1] == 1 {
        result.append(try spread(engine, p[index], batch))
      } else {
        result.append(try spread(engine, try engine.permute(p[index], [0, 2, 1]), batch))
      }
    }
    return result
  }

  private func sums(
    _ engine: Engine, _ batch: Int, _ stream: LayerStream?
  ) throws(NestedError) -> [Tensor] {
    if let stream { return try read(engine, stream.state + weightCount) }
    var result: [Tensor] = []
    for size in sizes { result.append(try engine.full(Shape(batch * heads, size[1], size[2]), 0)) }
    return result
  }

  private func read(_ engine: Engine, _ state: Floats) throws(NestedError) -> [Tensor] {
    var at = 0
    var result: [Tensor] = []
    for size in sizes {
      let tensor = try engine.empty(Shape(size))
      tensor.floats.copy(from: state + at, count: tensor.count)
      result.append(tensor)
      at += tensor.count
    }
    return result
  }

  private func store(_ memory: TestTimeMemory, _ stream: LayerStream?) {
    guard let stream else { return }
    var at = 0
    for tensor in memory.weights + memory.sums {
      (stream.state + at).copy(from: tensor.floats, count: tensor.count)
      at += tensor.count
    }
  }

  /// [H, a] or [H, a, b] → [B H, 1 or a, b]
  private func spread(_ engine: Engine, _ x: Tensor, _ batch: Int) throws(NestedError) -> Tensor {
    let (a, b) = x.shape.rank == 3 ? (x.shape[1], x.shape[2]) : (1, x.shape[1])
    let one = try engine.reshape(x, Shape(1, heads, a, b))
    return try engine.reshape(
      try engine.broadcast(one, Shape(batch, heads, a, b)), Shape(batch * heads, a, b))
  }
}
