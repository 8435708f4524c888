import NestedBase

// The adjoint of an mlp memory's chunk: M(z) = z + W1 φ(W2 z), written as
//
//     h = φ(W2 k)   e = (k + W1 h) - (v + W1 φ(W2 v))   δ = φ'(W2 k) ⊙ (W1ᵀ e)
//     W2 gets (z = k, g = δ),  W1 gets (z = h, g = e);  the read is o = q + W1_{t-1} φ(W2_{t-1} q).

extension UnitAdjoint {
  func runMLP(_ chunk: ChunkRange, dy: Floats?, _ scratch: Scratch) {
    let m = unit.columns, f = unit.outer.n, d = spec.d, rows = chunk.rows
    let tokenReads = dy != nil && spec.readsToken && unit.adapted != 0
    let writes = unit.adapted != 0 && (tokenReads || !chunk.isLast)
    let initial = shared.kept + shared.trace.initialState + spec.stateOffset(index)
    let first = unit.adapted != 0 ? pendingRows(chunk, initial, unit.inner) : 0
    let base = chunk.row - first
    let w2 = checkpoint(chunk.index), w1 = w2 + part.innerCheckpoint
    let q = shared.kept + shared.trace.q + chunk.row * d
    let hq = trace + part.outerQ + chunk.row * f
    let dhqRows = dhq + first * f
    dhk.fill(0, count: (first + rows) * f)
    dhq.fill(0, count: (first + rows) * f)
    if writes {
      weight(
        unit.outer, mask, chunk, first, initial + unit.inner.size, delta: spec.outerDelta,
        checkpointAt: part.innerCheckpoint, lambda: lambdaOuter,
        z: rowsOfZ(chunk, first, initial + unit.inner.size, unit.outer, zOuter, trace + part.outerZ),
        x: trace + part.outerX + base * m, g: trace + part.outerG + base * m,
        q: tokenReads ? trace + part.outerQ + base * f : nil,
        y: tokenReads ? trace + part.outerY + base * m : nil, dy: tokenReads ? dy.map { $0 - first * m } : nil,
        extra: nil, dg: dgOuter, dgw: dgwOuter, dz: dhk, dq: dhq
      ).run(scratch)
    }
    if let dy, !tokenReads {
      tileGEMMTransposedB(dhqRows, f, dy, m, w1, m, rows, f, m, accumulate: false)
      tileGEMMTransposedA(lambdaOuter, m, hq, f, dy, m, f, m, rows, accumulate: true)
    }
    if dy != nil {
      let y2 = trace + part.innerY + chunk.row * f
      (dy2 + first * f).copy(from: dhqRows, count: rows * f)
      siluDerivativeTimes(dy2 + first * f, y2, rows * f)
    }
    if writes {
      weight(
        unit.inner, innerMask, chunk, first, initial, delta: spec.delta, checkpointAt: 0, lambda: lambda,
        z: rowsOfZ(chunk, first, initial, unit.inner, z, shared.kept + shared.trace.k),
        x: trace + part.innerX + base * f, g: trace + part.innerG + base * f,
        q: tokenReads ? shared.kept + shared.trace.q + base * d : nil,
        y: tokenReads ? trace + part.innerY + base * f : nil, dy: tokenReads ? dy2 : nil,
        extra: nil, dg: dg, dgw: dgw, dz: shared.dk + base * d, dq: shared.dq + base * d
      ).run(scratch)
      errorAdjointMLP(chunk, first, w1: w1, w2: w2)
    }
    if dy != nil, !tokenReads {
      tileGEMMTransposedB(
        shared.dq + chunk.row * d, d, dy2 + first * f, f, w2, f, rows, d, f, accumulate: true)
      tileGEMMTransposedA(lambda, f, q, d, dy2 + first * f, f, d, f, rows, accumulate: true)
    }
  }

  /// From dL/de (dgOuter), dL/dδ (dg) and dL/dh (dhk) to k, v and both weights at the chunk's start.
  private func errorAdjointMLP(_ chunk: ChunkRange, _ first: Int, w1: Floats, w2: Floats) {
    let m = unit.columns, f = unit.outer.n, d = spec.d, rows = chunk.rows
    let k = shared.kept + shared.trace.k + chunk.row * d, v = shared.kept + shared.trace.v + chunk.row * d
    let e = trace + part.outerG + chunk.row * m
    let hk = trace + part.outerZ + chunk.row * f
    let de = dgOuter + first * m, dDelta = dg + first * f, dhkRows = dhk + first * f
    tileGEMM(ak, f, k, d, w2, f, rows, f, d, accumulate: false)
    tileGEMM(av, f, v, d, w2, f, rows, f, d, accumulate: false)
    siluForward(hv, av, rows * f)
    // δ = φ'(a_k) ⊙ (e W1ᵀ): ew becomes φ''(a_k) ⊙ (e W1ᵀ) ⊙ dδ, and dδ becomes the gradient of e W1ᵀ.
    tileGEMMTransposedB(ew, f, e, m, w1, m, rows, f, m, accumulate: false)
    var i = 0
    while i < rows * f {
      let a = ak.load16(i)
      let s = sigmoid16(a)
      let g = dDelta.load16(i)
      ew.store16(ew.load16(i) * g * (s * (1 - s) * (2 + a * (1 - 2 * s))), i)
      dDelta.store16(g * siluSlope16(a), i)
      i += 16
    }
    tileGEMM(de, m, dDelta, f, w1, m, rows, m, f, accumulate: true)
    tileGEMMTransposedA(lambdaOuter, m, dDelta, f, e, m, f, m, rows, accumulate: true)

    // e = M(k) - M(v), or -M(v).
    residualAdjoint(chunk, de)
    let dh = dgwOuter  // de W1ᵀ
    tileGEMMTransposedB(dh, f, de, m, w1, m, rows, f, m, accumulate: false)
    i = 0
    while i < rows * f {
      if !spec.dot { dhkRows.store16(dhkRows.load16(i) + dh.load16(i), i) }
      let difference = spec.dot ? -hv.load16(i) : hk.load16(i) - hv.load16(i)
      hv.store16(difference, i)
      dh.store16(-dh.load16(i), i)
      i += 16
    }
    tileGEMMTransposedA(lambdaOuter, m, hv, f, de, m, f, m, rows, accumulate: true)
    siluDerivativeTimes(dhkRows, ak, rows * f)
    rowAdd(dhkRows, 1, ew, rows * f)
    siluDerivativeTimes(dh, av, rows * f)
    tileGEMMTransposedB(shared.dk + chunk.row * d, d, dhkRows, f, w2, f, rows, d, f, accumulate: true)
    tileGEMMTransposedB(shared.dv + chunk.row * d, d, dh, f, w2, f, rows, d, f, accumulate: true)
    tileGEMMTransposedA(lambda, f, k, d, dhkRows, f, d, f, rows, accumulate: true)
    tileGEMMTransposedA(lambda, f, v, d, dh, f, d, f, rows, accumulate: true)
  }
}
