package import NestedBase

// Token by token, like LinearMemory.swift: backward keeps the state before every `memoryStretch` tokens and repeats the
// stretch from there. README.md derives the gradients.

/// Floats of scratch for one head, forward and backward.
package func neuralMemoryScratch(_ spec: NeuralMemorySpec) -> Int {
  (memoryStretch + 1) * spec.stateSize + (memoryStretch + 1) * Write.size(spec) + Write.size(spec)
}

/// M(x) on its way; a matrix needs none of it.
struct Evaluation {
  let a: Floats, h: Floats  // [hidden]: W2 x, gelu of it
  let y: Floats  // [d]: LN(W1 h)
  let rstd: Floats  // [1]

  static func size(_ spec: NeuralMemorySpec) -> Int { 2 * spec.hidden + spec.d + 1 }
  init(_ memory: Floats, _ spec: NeuralMemorySpec) {
    (a, h, y) = (memory, memory + spec.hidden, memory + 2 * spec.hidden)
    rstd = y + spec.d
  }

  /// o = M(x) with the weights at `state`.
  func forward(_ spec: NeuralMemorySpec, _ state: Floats, _ x: Floats, _ o: Floats) {
    if spec.hidden == 0 { return spec.first(state).product(o, x) }
    spec.first(state).product(a, x)
    geluForward(h, a, spec.hidden)
    spec.second(state).product(y, h)
    rstd[0] = layerNorm(y, spec.d)
    add(o, x, y, spec.d)
  }
}

/// What a token writes: the gradients of ½‖M(k) - v‖² are g zᵀ with z = k, g = slope (of W, or W2) and z = h, g = outer (W1).
struct Write {
  let at: Evaluation
  let error: Floats  // [d]: M(k) - v
  let outer: Floats  // [d]: the gradient at W1 h
  let back: Floats  // [hidden]: W1ᵀ outer
  let slope: Floats  // [hidden]: gelu'(a) ⊙ back; a matrix: the error
  let spare: Floats  // [5, max(d, hidden)]: for the backward pass

  static func size(_ spec: NeuralMemorySpec) -> Int {
    Evaluation.size(spec) + 2 * spec.d + 2 * spec.hidden + 5 * max(spec.d, spec.hidden)
  }
  init(_ memory: Floats, _ spec: NeuralMemorySpec) {
    at = Evaluation(memory, spec)
    error = memory + Evaluation.size(spec)
    (outer, back) = (error + spec.d, error + 2 * spec.d)
    slope = spec.hidden == 0 ? error : back + spec.hidden
    spare = back + 2 * spec.hidden
  }

  func forward(_ spec: NeuralMemorySpec, _ state: Floats, k: Floats, v: Floats) {
    at.forward(spec, state, k, error)
    mapLanes(error, error, v, spec.d) { $0 - $1 }
    if spec.hidden == 0 { return }
    layerNormBackward(outer, error, at.y, at.rstd[0], spec.d)
    spec.second(state).transposedProduct(back, outer)
    geluBackward(slope, back, at.a, spec.hidden)
  }
}

/// Moves `state` on by the part's rows. `kept` [rows / stretch rounded up, stateSize] receives the state before each
/// stretch, if it is given.
package func neuralMemoryForward(_ a: NeuralMemoryPart, state: Floats, kept: Floats?, scratch: Floats) {
  let write = Write(scratch, a.spec), read = Evaluation(scratch + Write.size(a.spec), a.spec)
  for t in 0..<a.rows {
    if let kept, t % memoryStretch == 0 {
      (kept + t / memoryStretch * a.spec.stateSize).copy(from: state, count: a.spec.stateSize)
    }
    advanceNeuralMemory(a, t, write, from: state, to: nil)
    read.forward(a.spec, state, a.q + t * a.stride, a.o + t * a.stride)
  }
}

/// One token: `to`, or `from` in place where it is nil, becomes the state after it.
func advanceNeuralMemory(_ a: NeuralMemoryPart, _ t: Int, _ write: Write, from: Floats, to: Floats?) {
  let spec = a.spec, size = spec.weights
  let after = to ?? from
  var start = from
  if spec.chunk > 1 {
    start = after + 2 * size
    if (a.position + t) % spec.chunk == 0 {
      start.copy(from: from, count: size)
    } else if to != nil {
      start.copy(from: from + 2 * size, count: size)
    }
  }
  if !a.writes {
    to?.copy(from: from, count: 2 * size)
    return
  }
  let k = a.k + t * a.stride
  write.forward(spec, start, k: k, v: a.v + t * a.stride)
  update(a, t, spec.first(from), spec.first(after), momentum: size, z: k, g: write.slope)
  if spec.hidden > 0 {
    update(a, t, spec.second(from), spec.second(after), momentum: size, z: write.at.h, g: write.outer)
  }
}

/// S' = η S - θ z gᵀ,  W' = (1 - α) W + S' for one weight, whose momentum lies `momentum` floats behind it.
private func update(
  _ a: NeuralMemoryPart, _ t: Int, _ from: MemoryMatrix, _ to: MemoryMatrix, momentum: Int, z: Floats, g: Floats
) {
  let keep = splat(1 - a.alpha[t * a.gateStride]), eta = splat(a.eta[t * a.gateStride])
  let theta = a.theta[t * a.gateStride], n = from.outputs
  for i in 0..<from.inputs {
    let step = splat(-theta * z[i])
    let (w, s) = (from.w + i * n, from.w + momentum + i * n)
    let (w1, s1) = (to.w + i * n, to.w + momentum + i * n)
    var c = 0
    while c < n {
      let m = min(16, n - c)
      let next = fma(step, g.load(c, m), eta * s.load(c, m))
      s1.store(next, c, m)
      w1.store(fma(keep, w.load(c, m), next), c, m)
      c += 16
    }
  }
}
