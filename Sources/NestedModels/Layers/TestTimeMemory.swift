import NestedBase
import NestedTensor

/// Some rows of one mini-batch, [N, n, d] each with N = B H; rate [N, n, 1]; offset [n]; the first row is the `first`-th
/// token of the mini-batch, from 1.
struct TestTimeInputs {
  let q: Tensor, k: Tensor, v: Tensor, rate: Tensor, offset: Tensor
  let first: Int
}

/// The inner model of a test-time training layer and its update (see `TestTimeTraining`), in plain operations. Weights
/// are [N, in, out] and biases [N, 1, out]; `sums` are Σ η ∇ over the mini-batch so far, laid out alike.
struct TestTimeMemory {
  private(set) var weights: [Tensor]
  private(set) var sums: [Tensor]
  private let lnWeight: Tensor, lnBias: Tensor  // [N, 1, d]

  init(
    _ engine: Engine, weights: [Tensor], sums: [Tensor], lnWeight: Tensor, lnBias: Tensor
  ) throws(NestedError) {
    (self.weights, self.sums, self.lnWeight, self.lnBias) = (weights, sums, lnWeight, lnBias)
  }

  /// Trains on the rows and reads them; o [N, n, d]. Ends the mini-batch with its 16th token.
  mutating func step(_ e: Engine, _ x: TestTimeInputs) throws(NestedError) -> Tensor {
    let n = x.k.shape[1]
    // Forward at W_c: inputs and pre-activations of each layer.
    var inner = [x.k]
    var z = try linear(e, x.k, 0)
    let first = z
    if weights.count == 4 {
      inner.append(try e.gelu(z))
      z = try linear(e, inner[1], 1)
    }
    // ∇ of ½‖LN(z) - (v - k)‖²
    var gradients = [try normGradient(e, z, target: try e.subtract(x.v, x.k))]
    if weights.count == 4 {
      let back = try e.matmul(gradients[0], weights[2], transB: true)
      gradients.insert(try e.multiply(back, try geluSlope(e, first)), at: 0)
    }
    // Each row's step sees the rows up to itself: s_i (sum + Σ_{j ≤ i} η_j in_j ∇_jᵀ).
    let scale = try tokenScale(e, x, n)
    var y = x.q
    for layer in gradients.indices {
      if layer == 1 { y = try e.gelu(y) }
      let rated = try e.multiply(gradients[layer], try e.broadcast(x.rate, gradients[layer].shape))
      let attention = try causal(e, try e.matmul(y, inner[layer], transB: true))
      let ones = try causal(e, try e.full(attention.shape, 1))
      var step = try e.add(try e.matmul(y, sums[2 * layer]), try e.matmul(attention, rated))
      step = try e.add(step, try e.broadcast(sums[2 * layer + 1], step.shape))
      step = try e.add(step, try e.matmul(ones, rated))
      y = try e.subtract(
        try linear(e, y, layer), try e.multiply(step, try e.broadcast(scale, step.shape)))
      sums[2 * layer] = try e.add(sums[2 * layer], try e.matmul(inner[layer], rated, transA: true))
      sums[2 * layer + 1] = try e.add(sums[2 * layer + 1], try e.sum(rated, axis: 1))
    }
    if x.first + n - 1 == 16 {
      let last = try e.slice(scale, axis: 1, start: n - 1, count: 1)
      for i in weights.indices {
        weights[i] = try e.subtract(weights[i], try e.multiply(sums[i], try e.broadcast(last, sums[i].shape)))
        sums[i] = try e.full(sums[i].shape, 0)
      }
    }
    return try e.add(x.q, try normalized(e, y))
  }

  private func linear(_ e: Engine, _ x: Tensor, _ layer: Int) throws(NestedError) -> Tensor {
    let y = try e.matmul(x, weights[2 * layer])
    return try e.add(y, try e.broadcast(weights[2 * layer + 1], y.shape))
  }

  /// s_i = max(0, 1/i + offset_i), [N, n, 1]
  private func tokenScale(_ e: Engine, _ x: TestTimeInputs, _ n: Int) throws(NestedError) -> Tensor {
    let base = try e.empty(Shape(n))
    let open = try e.empty(Shape(n))  // where the maximum is not 0
    for i in 0..<n {
      base.floats[i] = 1 / Float(x.first + i)
      open.floats[i] = base.floats[i] + x.offset.floats[i] > 0 ? 1 : 0
    }
    let scale = try e.multiply(try e.add(base, x.offset), open)
    return try e.broadcast(try e.reshape(scale, Shape(1, n, 1)), Shape(x.k.shape[0], n, 1))
  }

  /// The lower triangle of [N, n, n], the diagonal included.
  private func causal(_ e: Engine, _ x: Tensor) throws(NestedError) -> Tensor {
    let n = x.shape[1]
    let mask = try e.full(x.shape, 0)
    for batch in 0..<x.shape[0] {
      for i in 0..<n { (mask.floats + (batch * n + i) * n).fill(1, count: i + 1) }
    }
    return try e.multiply(x, mask)
  }

  // MARK: LayerNorm per head

  /// (z - mean) / √(variance + 1e-6), and the reciprocal root.
  private func centred(_ e: Engine, _ z: Tensor) throws(NestedError) -> (Tensor, Tensor) {
    let d = Float(z.shape[2])
    let mean = try e.broadcast(try e.scale(try e.sum(z, axis: 2), 1 / d), z.shape)
    let c = try e.subtract(z, mean)
    let variance = try e.scale(try e.sum(try e.multiply(c, c), axis: 2), 1 / d)
    let root = try e.broadcast(try e.power(try e.offset(variance, 1e-6), -0.5), z.shape)
    return (try e.multiply(c, root), root)
  }

  private func normalized(_ e: Engine, _ z: Tensor) throws(NestedError) -> Tensor {
    let (c, _) = try centred(e, z)
    return try e.add(
      try e.multiply(c, try e.broadcast(lnWeight, z.shape)), try e.broadcast(lnBias, z.shape))
  }

  /// d/dz of ½‖LN(z) - target‖² = (g - mean g - ẑ mean(g ẑ)) / σ with g = weight (LN(z) - target).
  private func normGradient(_ e: Engine, _ z: Tensor, target: Tensor) throws(NestedError) -> Tensor {
    let d = Float(z.shape[2])
    let (c, root) = try centred(e, z)
    let weight = try e.broadcast(lnWeight, z.shape)
    let y = try e.add(try e.multiply(c, weight), try e.broadcast(lnBias, z.shape))
    let g = try e.multiply(weight, try e.subtract(y, target))
    let mean = try e.broadcast(try e.scale(try e.sum(g, axis: 2), 1 / d), z.shape)
    let along = try e.broadcast(try e.scale(try e.sum(try e.multiply(g, c), axis: 2), 1 / d), z.shape)
    return try e.multiply(try e.subtract(try e.subtract(g, mean), try e.multiply(c, along)), root)
  }

  /// gelu = x σ(a) with a = 2 √(2/π) (x + 0.044715 x³), so gelu' = σ + x σ (1 - σ) a'.
  private func geluSlope(_ e: Engine, _ x: Tensor) throws(NestedError) -> Tensor {
    let c = 2 * Float(2 / Double.pi).squareRoot()
    let square = try e.multiply(x, x)
    let a = try e.scale(try e.multiply(x, try e.offset(try e.scale(square, 0.044715), 1)), c)
    let slope = try e.scale(try e.offset(try e.scale(square, 3 * 0.044715), 1), c)
    let s = try e.sigmoid(a)
    let rise = try e.multiply(s, try e.offset(try e.scale(s, -1), 1))
    return try e.add(s, try e.multiply(try e.multiply(x, rise), slope))
  }
}
