package import NestedBase

/// The gradients of all rows; `kept` is from the forward pass. `dState` [stateSize] comes in as the gradient of the last
/// state and goes out as that of the first. Without writes the last state's is taken for 0.
package func neuralMemoryBackward(
  _ a: NeuralMemoryPart, _ g: NeuralMemoryGradients, dState: Floats, kept: Floats, scratch: Floats
) {
  let spec = a.spec, size = spec.stateSize
  let states = scratch  // [stretch + 1, stateSize]: before each token of the stretch, and after the last
  let writes = states + (memoryStretch + 1) * size
  let read = Write(writes + (memoryStretch + 1) * Write.size(spec), spec)
  if !a.writes {
    dState.fill(0, count: size)
    for t in 0..<a.rows { readBackward(a, g, t, read, state: kept, dState: dState) }
    return
  }
  var first = (a.rows - 1) / memoryStretch * memoryStretch
  while first >= 0 {
    let count = min(memoryStretch, a.rows - first)
    states.copy(from: kept + first / memoryStretch * size, count: size)
    for i in 0..<count {
      advanceNeuralMemory(
        a, first + i, Write(writes + i * Write.size(spec), spec), from: states + i * size,
        to: states + (i + 1) * size)
    }
    var i = count - 1
    while i >= 0 {
      let before = states + i * size, after = before + size
      readBackward(a, g, first + i, read, state: after, dState: dState)
      writeBackward(
        a, g, first + i, Write(writes + i * Write.size(spec), spec), before: before,
        start: spec.chunk > 1 ? after + 2 * spec.weights : before, dState: dState)
      i -= 1
    }
    first -= memoryStretch
  }
}

/// dq, and what o = M(q) adds to the gradient of the weights at `state`.
private func readBackward(
  _ a: NeuralMemoryPart, _ g: NeuralMemoryGradients, _ t: Int, _ read: Write, state: Floats, dState: Floats
) {
  let spec = a.spec, d = spec.d
  let q = a.q + t * a.stride, dO = g.dO + t * a.stride, dq = g.dq + t * a.stride
  if spec.hidden == 0 {
    spec.first(state).transposedProduct(dq, dO)
    spec.first(dState).addOuter(q, dO)
    return
  }
  read.at.forward(spec, state, q, read.error)
  layerNormBackward(read.outer, dO, read.at.y, read.at.rstd[0], d)
  spec.second(state).transposedProduct(read.back, read.outer)
  spec.second(dState).addOuter(read.at.h, read.outer)
  geluBackward(read.slope, read.back, read.at.a, spec.hidden)
  spec.first(state).transposedProduct(dq, read.slope)
  spec.first(dState).addOuter(q, read.slope)
  add(dq, dq, dO, d)
}

/// The adjoint of one token's write: `dState` goes from the state after it to the state before it.
private func writeBackward(
  _ a: NeuralMemoryPart, _ g: NeuralMemoryGradients, _ t: Int, _ write: Write, before: Floats, start: Floats,
  dState: Floats
) {
  let spec = a.spec, d = spec.d, hidden = spec.hidden, size = spec.weights
  let k = a.k + t * a.stride, dk = g.dk + t * a.stride, dv = g.dv + t * a.stride
  var slopes = Slopes()
  // Of the gradient taken at the chunk's start: straight to the weights where that is the token's own state.
  let dStart = spec.chunk > 1 ? dState + 2 * size : dState
  let dSlope = write.spare, spare = max(d, hidden)
  updateBackward(
    a, t, spec.first(before), spec.first(dState), momentum: size, z: k, g: write.slope, dz: dk, dg: dSlope, &slopes)
  if hidden == 0 {
    for i in 0..<d { dk[i] += dot(start + i * d, dSlope, d) }
    spec.first(dStart).addOuter(k, dSlope)
    mapLanes(dv, dSlope, d) { -$0 }
  } else {
    let (dh, dBack) = (write.spare + spare, write.spare + 2 * spare)
    let (dOuter, dy) = (write.spare + 3 * spare, write.spare + 4 * spare)
    updateBackward(
      a, t, spec.second(before), spec.second(dState), momentum: size, z: write.at.h, g: write.outer, dz: dh,
      dg: dOuter, &slopes)
    // slope = gelu'(a) ⊙ back,  back = W1ᵀ outer
    geluBackward(dBack, dSlope, write.at.a, hidden)
    let second = spec.second(start)
    second.product(dy, dBack)
    add(dOuter, dOuter, dy, d)
    // outer = LN'(error), which depends on y and rstd besides;  error = k + y - v,  y = LN(W1 h)
    normSlopeBackward(write, dOuter: dOuter, dError: dv, dy: dy, d)
    layerNormSums(dy, write, dOuter, d)
    spec.second(dStart).addOuter(dBack, write.outer, write.at.h, dy)
    for i in 0..<hidden { dh[i] += dot(second.w + i * d, dy, d) }
    // dSlope becomes da = gelu''(a) ⊙ back ⊙ dSlope + gelu'(a) ⊙ dh
    geluBackward(dh, dh, write.at.a, hidden)
    mapLanes(dSlope, dSlope, write.back, hidden) { $0 * $1 }
    geluCurvature(dSlope, write.at.a, dh, hidden)
    for i in 0..<d { dk[i] += dv[i] + dot(start + i * hidden, dSlope, hidden) }
    spec.first(dStart).addOuter(k, dSlope)
    mapLanes(dv, dv, d) { -$0 }
  }
  if spec.chunk > 1, (a.position + t) % spec.chunk == 0 {
    add(dState, dState, dStart, size)
    dStart.fill(0, count: size)
  }
  g.dAlpha[t * a.gateStride] = slopes.alpha
  g.dEta[t * a.gateStride] = slopes.eta
  g.dTheta[t * a.gateStride] = slopes.theta
}

private struct Slopes { var alpha: Float = 0, eta: Float = 0, theta: Float = 0 }

/// Through S' = η S - θ z gᵀ, W' = (1 - α) W + S' for one weight: dW and the momentum's gradient behind it go from after
/// to before; dz and dg are overwritten.
private func updateBackward(
  _ a: NeuralMemoryPart, _ t: Int, _ before: MemoryMatrix, _ gradient: MemoryMatrix, momentum: Int, z: Floats,
  g: Floats, dz: Floats, dg: Floats, _ slopes: inout Slopes
) {
  let theta = a.theta[t * a.gateStride], n = before.outputs
  let keep = splat(1 - a.alpha[t * a.gateStride]), eta = splat(a.eta[t * a.gateStride])
  var (alongW, alongS) = (Lanes.zero, Lanes.zero)
  dg.fill(0, count: n)
  for i in 0..<before.inputs {
    let (w, s) = (before.w + i * n, before.w + momentum + i * n)
    let (dw, ds) = (gradient.w + i * n, gradient.w + momentum + i * n)
    let factor = splat(z[i])
    var along = Lanes.zero
    var c = 0
    while c < n {
      let m = min(16, n - c)
      let x = dw.load(c, m), both = x + ds.load(c, m)
      alongW.addProduct(x, w.load(c, m))
      alongS.addProduct(both, s.load(c, m))
      along.addProduct(both, g.load(c, m))
      dg.store(fma(factor, both, dg.load(c, m)), c, m)
      ds.store(eta * both, c, m)
      dw.store(keep * x, c, m)
      c += 16
    }
    dz[i] = -theta * laneSum(along)
  }
  slopes.alpha -= laneSum(alongW)
  slopes.eta += laneSum(alongS)
  slopes.theta -= dot(dg, g, n)
  mapLanes(dg, dg, n) { $0 * splat(-theta) }
}

/// Through outer = (e - mean e - y c) rstd with c = mean(e y): dError = LN'(dOuter), and dy = dError + what y carries.
private func normSlopeBackward(_ write: Write, dOuter: Floats, dError: Floats, dy: Floats, _ d: Int) {
  let (error, y, rstd) = (write.error, write.at.y, write.at.rstd[0])
  layerNormBackward(dError, dOuter, y, rstd, d)
  let c = splat(dot(error, y, d) / Float(d) * rstd), along = splat(dot(dOuter, y, d) / Float(d) * rstd)
  var i = 0
  while i < d {
    let m = min(16, d - i)
    dy.store(dError.load(i, m) - c * dOuter.load(i, m) - along * error.load(i, m), i, m)
    i += 16
  }
}

/// dy becomes the gradient at W1 h: through y = LN(W1 h), and through rstd, by which `outer` was multiplied.
private func layerNormSums(_ dy: Floats, _ write: Write, _ dOuter: Floats, _ d: Int) {
  let (y, rstd) = (write.at.y, write.at.rstd[0])
  layerNormBackward(dy, dy, y, rstd, d)
  let spread = splat(-dot(dOuter, write.outer, d) * rstd / Float(d))
  mapLanes(dy, y, dy, d) { fma(spread, $0, $1) }
}
