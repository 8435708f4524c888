package import NestedBase

// Token by token, like LinearMemory.swift: backward keeps the state before every `memoryStretch` tokens and repeats the
// stretch from there.

/// Floats of scratch for one head, forward and backward.
package func selfReferentialScratch(d: Int) -> Int {
  let n = 3 * d + 4
  return (memoryStretch + 1) * d * n + memoryStretch * (4 * d + 2 * n) + 3 * n + 4 + 3 * d
}

/// What a token computes on its way; kept for its backward step.
private struct Token {
  let x: Floats, q: Floats, k: Floats, difference: Floats  // [d]: softmax(x), q, k, q - k
  let out: Floats, step: Floats  // [outputs]: W softmax(x); W (q - k)

  init(_ memory: Floats, d: Int) {
    (x, q, k, difference) = (memory, memory + d, memory + 2 * d, memory + 3 * d)
    (out, step) = (memory + 4 * d, memory + 4 * d + 3 * d + 4)
  }
}

/// Moves `state` on by the part's rows. `kept` [rows / stretch rounded up, d, outputs] receives the state before each
/// stretch, if it is given.
package func selfReferentialForward(
  _ a: SelfReferentialPart, state: Floats, kept: Floats?, scratch: Floats
) {
  let size = a.d * a.outputs
  let token = Token(scratch, d: a.d)
  for t in 0..<a.rows {
    if let kept, t % memoryStretch == 0 { (kept + t / memoryStretch * size).copy(from: state, count: size) }
    advance(a, t, token, from: state, to: state)
    (a.y + t * a.stride).copy(from: token.out, count: a.d)
  }
}

/// dx [rows, stride] is overwritten; `dState` [d, outputs] becomes the gradient of the first state. The final state
/// carries none.
package func selfReferentialBackward(
  _ a: SelfReferentialPart, dY: Floats, dx: Floats, dState dW: Floats, kept: Floats, scratch: Floats
) {
  let d = a.d, n = a.outputs, size = d * n
  let states = scratch
  let tokens = states + (memoryStretch + 1) * size
  let tokenSize = 4 * d + 2 * n
  let dOut = tokens + memoryStretch * tokenSize, r = dOut + n, dr = r + n + 4  // the rates behind r
  let dDifference = dr + n, dk = dDifference + d, dxs = dk + d
  dW.fill(0, count: size)
  var first = (a.rows - 1) / memoryStretch * memoryStretch
  while first >= 0 {
    let count = min(memoryStretch, a.rows - first)
    states.copy(from: kept + first / memoryStretch * size, count: size)
    for i in 0..<count {
      advance(
        a, first + i, Token(tokens + i * tokenSize, d: d), from: states + i * size, to: states + (i + 1) * size)
    }
    var i = count - 1
    while i >= 0 {
      let t = first + i, w = states + i * size
      let token = Token(tokens + i * tokenSize, d: d)
      // W' = W + r kᵀ with r = β ⊙ step
      rates(a, token, r)
      dr.fill(0, count: n)
      for j in 0..<d {
        let row = dW + j * n
        dk[j] = dot(row, r, n)
        addScaled(dr, row, token.k[j], n)
      }
      dOut.copy(from: dY + t * a.stride, count: d)
      for block in 0..<4 {
        let (from, length) = (block * d, block < 3 ? d : 4)
        let beta = r[n + block]  // rates() leaves the four β behind r
        let along = dot(dr + from, token.step + from, length)
        dOut[3 * d + block] = along * beta * (1 - beta)
        scale(dr + from, beta, length)  // now d step
      }
      for j in 0..<d { dDifference[j] = dot(w + j * n, dr, n) }
      for j in 0..<d { dk[j] -= dDifference[j] }
      softmaxBackward(dOut + d, dDifference, token.q, d)
      softmaxBackward(dOut + 2 * d, dk, token.k, d)
      for j in 0..<d {
        dxs[j] = dot(w + j * n, dOut, n)
        addScaled(dW + j * n, dr, token.difference[j], n)
        addScaled(dW + j * n, dOut, token.x[j], n)
      }
      softmaxBackward(dx + t * a.stride, dxs, token.x, d)
      i -= 1
    }
    first -= memoryStretch
  }
}

/// One token: `to` = `from` + k rᵀ, which may be the same memory.
private func advance(_ a: SelfReferentialPart, _ t: Int, _ token: Token, from: Floats, to: Floats) {
  let d = a.d, n = a.outputs
  softmax(token.x, a.x + t * a.stride, d)
  product(token.out, from, token.x, d, n)
  softmax(token.q, token.out + d, d)
  softmax(token.k, token.out + 2 * d, d)
  for j in 0..<d { token.difference[j] = token.q[j] - token.k[j] }
  product(token.step, from, token.difference, d, n)
  // The step, scaled by its block's rate, while the rows are written.
  for block in 0..<4 {
    let (at, length) = (block * d, block < 3 ? d : 4)
    let beta = sigmoid16(splat(token.out[3 * d + block]))[0]
    for j in 0..<d {
      let factor = splat(token.k[j] * beta)
      let (source, target) = (from + j * n + at, to + j * n + at)
      var c = 0
      while c < length {
        let m = min(16, length - c)
        target.store(fma(factor, (token.step + at).load(c, m), source.load(c, m)), c, m)
        c += 16
      }
    }
  }
}

/// r = β ⊙ step, and the four β behind it.
private func rates(_ a: SelfReferentialPart, _ token: Token, _ r: Floats) {
  let d = a.d, n = a.outputs
  for block in 0..<4 {
    let (at, length) = (block * d, block < 3 ? d : 4)
    let beta = sigmoid16(splat(token.out[3 * d + block]))[0]
    mapLanes(r + at, token.step + at, length) { $0 * splat(beta) }
    r[n + block] = beta
  }
}

/// y [n] = Σ_j x[j] w[j, ·]
private func product(_ y: Floats, _ w: Floats, _ x: Floats, _ d: Int, _ n: Int) {
  var c = 0
  while c < n {
    let m = min(16, n - c)
    var sum = Lanes.zero
    for j in 0..<d { sum.addProduct(splat(x[j]), (w + j * n).load(c, m)) }
    y.store(sum, c, m)
    c += 16
  }
}

private func addScaled(_ y: Floats, _ x: Floats, _ factor: Float, _ n: Int) {
  let factor = splat(factor)
  mapLanes(y, x, y, n) { fma(factor, $0, $1) }
}

private func scale(_ x: Floats, _ factor: Float, _ n: Int) { mapLanes(x, x, n) { $0 * splat(factor) } }

private func softmax(_ y: Floats, _ x: Floats, _ n: Int) {
  let top = splat(largest(x, n))
  var total = Lanes.zero
  var c = 0
  while c < n {
    let m = min(16, n - c)
    let e = first(m, of: exp16(x.load(c, m) - top))
    y.store(e, c, m)
    total += e
    c += 16
  }
  scale(y, 1 / laneSum(total), n)
}

/// dx = p ⊙ (dp - ⟨p, dp⟩)
private func softmaxBackward(_ dx: Floats, _ dp: Floats, _ p: Floats, _ n: Int) {
  let along = splat(dot(p, dp, n))
  mapLanes(dx, p, dp, n) { $0 * ($1 - along) }
}
