package import NestedBase

// A linear memory token by token: the state stays in the first cache, so on a CPU the recurrence does about the work of
// the chunked forms without their solve, and a stream needs no other code. Backward keeps the state before every
// `memoryStretch` tokens and repeats the stretch from there.

/// Tokens between two kept states.
package let memoryStretch = 16

/// Moves `state` [d, e] on by the part's rows. `kept` [rows / stretch rounded up, d, e] receives the state before each
/// stretch, if it is given.
package func linearMemoryForward(_ a: LinearMemoryPart, state: Floats, kept: Floats?, scratch u: Floats) {
  for t in 0..<a.rows {
    if let kept, t % memoryStretch == 0 {
      (kept + t / memoryStretch * a.d * a.e).copy(from: state, count: a.d * a.e)
    }
    step(a, t, from: state, to: state, u: u, o: a.o + t * a.valueStride)
  }
}

/// Floats of scratch for one head, forward and backward.
package func linearMemoryScratch(d: Int, e: Int) -> Int { (memoryStretch + 2) * d * e + 4 * e }

/// The gradients of all rows; `kept` is from the forward pass. The final state carries no gradient; the first one's
/// is dropped.
package func linearMemoryBackward(
  _ a: LinearMemoryPart, _ g: LinearMemoryGradients, kept: Floats, scratch: Floats
) {
  let (d, e) = (a.d, a.e)
  let size = d * e
  let states = scratch  // [stretch + 1, d, e]: before each token of the stretch, and after the last
  let dS = states + (memoryStretch + 1) * size
  let (u, du, read, spare) = (dS + size, dS + size + e, dS + size + 2 * e, dS + size + 3 * e)
  dS.fill(0, count: size)
  var first = (a.rows - 1) / memoryStretch * memoryStretch
  while first >= 0 {
    let count = min(memoryStretch, a.rows - first)
    states.copy(from: kept + first / memoryStretch * size, count: size)
    for i in 0..<count {
      step(a, first + i, from: states + i * size, to: states + (i + 1) * size, u: u, o: spare)
    }
    var i = count - 1
    while i >= 0 {
      let t = first + i
      let before = states + i * size, after = before + size
      let (q, k) = (a.q + t * a.keyStride, a.k + t * a.keyStride)
      let (dq, dk) = (g.dq + t * a.keyStride, g.dk + t * a.keyStride)
      let dO = g.dO + t * a.valueStride, dv = g.dv + t * a.valueStride
      let alpha = a.alpha[t * a.gateStride]
      written(a, t, before, u: u, read: read)
      du.fill(0, count: e)
      var dAlpha = Lanes.zero
      for r in 0..<d {
        let (gradient, q, k) = (dS + r * e, splat(q[r]), splat(k[r]))
        var (alongO, alongU) = (Lanes.zero, Lanes.zero)
        forLanes(e) { c, n in
          let s = fma(q, dO.load(c, n), gradient.load(c, n))  // dS_t
          alongO.addProduct((after + r * e).load(c, n), dO.load(c, n))
          alongU.addProduct(s, u.load(c, n))
          dAlpha.addProduct(s, (before + r * e).load(c, n))
          du.store(fma(k, s, du.load(c, n)), c, n)
          gradient.store(s * splat(alpha), c, n)
        }
        dq[r] = laneSum(alongO)
        dk[r] = laneSum(alongU)
      }
      var slope = laneSum(dAlpha)
      if let beta = a.beta, let dBeta = g.dBeta {
        // u = β (v - α read)
        let b = beta[t * a.gateStride], v = a.v + t * a.valueStride
        var (alongError, alongRead) = (Lanes.zero, Lanes.zero)
        forLanes(e) { c, n in
          let x = du.load(c, n), r = read.load(c, n)
          alongError.addProduct(x, v.load(c, n) - r * splat(alpha))
          alongRead.addProduct(x, r)
          dv.store(x * splat(b), c, n)
          du.store(x * splat(-alpha * b), c, n)  // d read
        }
        dBeta[t * a.gateStride] = laneSum(alongError)
        slope -= b * laneSum(alongRead)
        for r in 0..<d {
          let (gradient, k) = (dS + r * e, splat(k[r]))
          var along = Lanes.zero
          forLanes(e) { c, n in
            let x = du.load(c, n)
            along.addProduct(x, (before + r * e).load(c, n))
            gradient.store(fma(k, x, gradient.load(c, n)), c, n)
          }
          dk[r] += laneSum(along)
        }
      } else {
        dv.copy(from: du, count: e)
      }
      g.dAlpha[t * a.gateStride] = slope
      i -= 1
    }
    first -= memoryStretch
  }
}

/// u_t; `read` = Sᵀ k with the delta rule.
@inline(__always)
private func written(_ a: LinearMemoryPart, _ t: Int, _ s: Floats, u: Floats, read: Floats) {
  let v = a.v + t * a.valueStride
  guard let beta = a.beta else {
    u.copy(from: v, count: a.e)
    return
  }
  let k = a.k + t * a.keyStride
  let (alpha, b) = (a.alpha[t * a.gateStride], beta[t * a.gateStride])
  forLanes(a.e) { c, n in
    var sum = Lanes.zero
    for r in 0..<a.d { sum.addProduct(splat(k[r]), (s + r * a.e).load(c, n)) }
    read.store(sum, c, n)
    u.store((v.load(c, n) - sum * splat(alpha)) * splat(b), c, n)
  }
}

/// One token: `to` = α `from` + k uᵀ, which may be the same memory, and o = toᵀ q. u holds 2 e floats.
@inline(__always)
private func step(_ a: LinearMemoryPart, _ t: Int, from: Floats, to: Floats, u: Floats, o: Floats) {
  written(a, t, from, u: u, read: u + a.e)
  let (q, k) = (a.q + t * a.keyStride, a.k + t * a.keyStride)
  let alpha = splat(a.alpha[t * a.gateStride])
  forLanes(a.e) { c, n in
    let x = u.load(c, n)
    var sum = Lanes.zero
    for r in 0..<a.d {
      let s = fma(splat(k[r]), x, (from + r * a.e).load(c, n) * alpha)
      (to + r * a.e).store(s, c, n)
      sum.addProduct(splat(q[r]), s)
    }
    o.store(sum, c, n)
  }
}

/// body(first, count ≤ 16) over 0..<n.
@inline(__always)
private func forLanes(_ n: Int, _ body: (Int, Int) -> Void) {
  var c = 0
  while c < n {
    body(c, min(16, n - c))
    c += 16
  }
}
