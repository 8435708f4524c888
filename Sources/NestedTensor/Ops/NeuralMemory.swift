package import NestedBase

/// What a neural memory is written with: k, v [B T, H d] and the gates [B T, H].
package struct NeuralMemoryWrites {
  package let k: Tensor, v: Tensor, alpha: Tensor, eta: Tensor, theta: Tensor
  package init(k: Tensor, v: Tensor, alpha: Tensor, eta: Tensor, theta: Tensor) {
    (self.k, self.v, self.alpha, self.eta, self.theta) = (k, v, alpha, eta, theta)
  }
}

extension Engine {
  /// Neural memories with momentum and forgetting (see `NeuralMemoryPart`): o [B T, H d] for q [B T, H d], whose tokens
  /// begin at `position`. Without `writes` they are only read.
  ///
  /// Every row of the batch begins with its part of `state` [B H, stateSize], which stays as it is; the state after the
  /// last token comes back if `returnsState`, and is differentiable where there are writes.
  package func neuralMemory(
    _ spec: NeuralMemorySpec, q: Tensor, writes: NeuralMemoryWrites?, state: Tensor, heads: Int, batch: Int,
    position: Int = 0, returnsState: Bool = false
  ) throws(NestedError) -> (o: Tensor, state: Tensor?) {
    let work = try memory.take(state.count)
    work.floats.copy(from: state.floats, count: state.count)
    let call = NeuralMemoryCall(spec, q, writes, heads: heads, batch: batch, position: position)
    let inputs = [q, state] + (writes.map { [$0.k, $0.v, $0.alpha, $0.eta, $0.theta] } ?? [])
    guard tape != nil, inputs.contains(where: { $0.slot >= 0 }) else {
      let o = try empty(q.shape)
      try call.forward(self, o.floats, work.floats, kept: nil)
      return (o, returnsState ? Tensor(state.shape, work) : nil)
    }
    // One operation has one output: o, and behind it the state.
    let all = try empty(Shape(q.count + (returnsState ? state.count : 0)))
    let kept = try memory.take(call.keptSize(kernels.memoryStretch) * batch * heads)
    try call.forward(self, all.floats, work.floats, kept: kept.floats)
    if returnsState { (all.floats + q.count).copy(from: work.floats, count: state.count) }
    let recorded = record(inputs, all) { (engine, dAll) throws(NestedError) in
      let dState = try engine.full(state.shape, 0)
      if returnsState { dState.floats.copy(from: dAll.floats + q.count, count: state.count) }
      return try call.backward(engine, dAll.floats, dState, kept.floats)
    }
    if !returnsState { return (try reshape(recorded, q.shape), nil) }
    let o = try slice(recorded, axis: 0, start: 0, count: q.count)
    let last = try slice(recorded, axis: 0, start: q.count, count: state.count)
    return (try reshape(o, q.shape), try reshape(last, state.shape))
  }

  /// The same for a piece of a stream (B = 1), whose `state` is changed in place; no gradient.
  package func neuralMemory(
    _ spec: NeuralMemorySpec, q: Tensor, writes: NeuralMemoryWrites?, stream state: Floats, heads: Int, position: Int
  ) throws(NestedError) -> Tensor {
    let o = try empty(q.shape)
    let call = NeuralMemoryCall(spec, q, writes, heads: heads, batch: 1, position: position)
    try call.forward(self, o.floats, state, kept: nil)
    return o
  }

  /// The states before the first token [B H, stateSize]: `weights` [H, outputs, inputs], W or W2 and W1, and no momentum.
  package func neuralMemoryState(
    _ spec: NeuralMemorySpec, _ weights: [Tensor], heads: Int, batch: Int
  ) throws(NestedError) -> Tensor {
    let size = heads * spec.stateSize
    let state = try empty(Shape(batch * heads, spec.stateSize))
    for row in 0..<batch { Self.neuralMemoryState(spec, state.floats + row * size, weights, heads: heads) }
    guard tape != nil, weights.contains(where: { $0.slot >= 0 }) else { return state }
    return record(weights, state) { (engine, dState) throws(NestedError) in
      var at = 0
      var result: [Tensor?] = []
      for weight in weights {
        let gradient = try engine.full(weight.shape, 0)
        let outputs = weight.shape[1], inputs = weight.shape[2]
        for task in 0..<batch * heads {
          let from = dState.floats + task * spec.stateSize + at
          let to = gradient.floats + task % heads * outputs * inputs
          for o in 0..<outputs { for i in 0..<inputs { to[o * inputs + i] += from[i * outputs + o] } }
        }
        at += outputs * inputs
        result.append(gradient)
      }
      return result
    }
  }

  package static func neuralMemoryState(
    _ spec: NeuralMemorySpec, _ state: Floats, _ weights: [Tensor], heads: Int
  ) {
    state.fill(0, count: heads * spec.stateSize)
    for head in 0..<heads {
      var to = state + head * spec.stateSize
      for weight in weights {
        let outputs = weight.shape[1], inputs = weight.shape[2]
        let from = weight.floats + head * outputs * inputs
        for o in 0..<outputs { for i in 0..<inputs { to[i * outputs + o] = from[o * inputs + i] } }
        to = to + outputs * inputs
      }
    }
  }
}

/// One call, cut into a task for each head of each row.
private struct NeuralMemoryCall {
  let spec: NeuralMemorySpec
  let q: Tensor
  let writes: NeuralMemoryWrites?
  let heads: Int, batch: Int, position: Int, rows: Int

  init(
    _ spec: NeuralMemorySpec, _ q: Tensor, _ writes: NeuralMemoryWrites?, heads: Int, batch: Int, position: Int
  ) {
    (self.spec, self.q, self.writes) = (spec, q, writes)
    (self.heads, self.batch, self.position) = (heads, batch, position)
    rows = q.count / (heads * spec.d) / batch
  }

  private var tasks: Int { batch * heads }
  private var work: Int { tasks * rows * spec.weights * 6 }

  /// In halves of the weights, which are one of an mlp's two matrices: a token is read (2) and written, which takes
  /// its gradient (2, an mlp 3) and the steps of momentum and weights (4). Backward repeats the write from the kept states.
  private func products(forward: Bool) -> Int {
    let isMLP = spec.hidden > 0
    let write = writes == nil ? 0 : isMLP ? 7 : 6
    let back = writes == nil ? 0 : isMLP ? 14 : 12
    return tasks * rows * spec.weights * (forward ? 2 + write : write + (isMLP ? 6 : 4) + back) / 2
  }

  /// Where a task's vectors and gates begin.
  private func places(_ task: Int) -> (vector: Int, gate: Int) {
    let row = task / heads * rows, head = task % heads
    return ((row * heads + head) * spec.d, row * heads + head)
  }

  private func part(_ task: Int, _ o: Floats) -> NeuralMemoryPart {
    let (at, gate) = places(task)
    func vector(_ x: Tensor?) -> Floats { (x ?? q).floats + at }
    func scalar(_ x: Tensor?) -> Floats { (x ?? q).floats + gate }
    return NeuralMemoryPart(
      spec: spec, rows: rows, position: position, writes: writes != nil, q: vector(q), k: vector(writes?.k),
      v: vector(writes?.v), o: o + at, stride: heads * spec.d, alpha: scalar(writes?.alpha), eta: scalar(writes?.eta),
      theta: scalar(writes?.theta), gateStride: heads)
  }

  /// Floats that a task keeps for its backward pass.
  func keptSize(_ stretch: Int) -> Int { (rows + stretch - 1) / stretch * spec.stateSize }

  func forward(_ engine: Engine, _ o: Floats, _ states: Floats, kept: Floats?) throws(NestedError) {
    let kernels = engine.kernels
    let size = kernels.neuralMemoryScratch(spec), keptSize = keptSize(kernels.memoryStretch)
    let scratch = try engine.memory.take(tasks * size)
    engine.multiplyAdds += Double(products(forward: true))
    engine.parallel(tasks, work: work) { task in
      kernels.neuralMemoryForward(
        part(task, o), states + task * spec.stateSize, kept.map { $0 + task * keptSize },
        scratch.floats + task * size)
    }
  }

  /// Gradients of q, state, k, v and the gates; `dState` is changed in place.
  func backward(
    _ engine: Engine, _ dO: Floats, _ dState: Tensor, _ kept: Floats
  ) throws(NestedError) -> [Tensor?] {
    let kernels = engine.kernels
    let size = kernels.neuralMemoryScratch(spec), keptSize = keptSize(kernels.memoryStretch)
    let scratch = try engine.memory.take(tasks * size)
    let vectors = writes == nil ? 1 : 3, gates = writes == nil ? 0 : 3
    var results: [Tensor] = []
    for _ in 0..<vectors { results.append(try engine.empty(q.shape)) }
    for _ in 0..<gates { results.append(try engine.empty(Shape(batch * rows, heads))) }
    engine.multiplyAdds += Double(products(forward: false))
    engine.parallel(tasks, work: work * 4) { task in
      let (at, gate) = places(task)
      func vector(_ i: Int) -> Floats { results[writes == nil ? 0 : i].floats + at }
      func scalar(_ i: Int) -> Floats { results[writes == nil ? 0 : i].floats + gate }
      kernels.neuralMemoryBackward(
        part(task, dO),
        NeuralMemoryGradients(
          dO: dO + at, dq: vector(0), dk: vector(1), dv: vector(2), dAlpha: scalar(3), dEta: scalar(4),
          dTheta: scalar(5)),
        dState.floats + task * spec.stateSize, kept + task * keptSize, scratch.floats + task * size)
    }
    return [results[0], dState] + results.dropFirst().map { $0 }
  }
}
