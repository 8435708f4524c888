import NestedBase

/// The adjoint of `ProjectionScratch.generate`: from dk, dv, dη, d log α (and dq) of a chunk to u, u_v (and u_q), the
/// biases and the projections' memories at the chunk's start.
struct GenerationAdjoint {
  let shared: ScanAdjoint
  let u: Floats, uv: Floats, uq: Floats
  let du: Floats, duv: Floats, duq: Floats
  let dy: Floats, hidden: Floats, dHidden: Floats, a: Floats
  let ld: Int

  init(_ shared: ScanAdjoint, _ scratch: inout Scratch) {
    self.shared = shared
    let spec = shared.spec
    let c = spec.projectionChunk, d = spec.d
    u = scratch.take(c * d)
    uv = scratch.take(c * d)
    uq = scratch.take(c * d)
    du = scratch.take(c * d)
    duv = scratch.take(c * d)
    duq = scratch.take(c * d)
    ld = d + 16
    dy = scratch.take(c * ld)
    hidden = scratch.take(c * spec.f)
    dHidden = scratch.take(c * spec.f)
    a = scratch.take(c * spec.f)
  }
  static func size(_ spec: ScanSpec) -> Int {
    spec.projectionChunk * (7 * spec.d + 16 + 3 * spec.f) + 16 * 12
  }

  func run(_ units: [UnitAdjoint], _ chunk: ChunkRange, _ rows: ScanRows, _ gradients: ScanGradients) {
    let spec = shared.spec, d = spec.d, width = spec.headDim, count = chunk.rows
    let trace = shared.trace, kept = shared.kept, t = chunk.row
    packRows(u, d, rows.u + t * rows.stride, rows.stride, count, width)
    packRows(uv, d, rows.uv + t * rows.stride, rows.stride, count, width)

    // k, and the gates beside it. d log α comes without a division by α; dη/dlogit = η (1 - η/η_max).
    normAdjoint(
      kept + trace.k + t * d, kept + trace.kNorm + t, shared.dk + t * d, count, normalized: true)
    for row in 0..<count {
      (du + row * d).copy(from: dy + row * ld, count: d)
      (dy + row * ld + d).fill(0, count: 16)
      let eta = kept[trace.eta + t + row]
      let dEta = shared.dEta[t + row] * eta * (1 - eta / spec.etaMax)
      let dAlpha =
        spec.retention ? shared.dLogAlpha[t + row] * (1 - kept[trace.alpha + t + row]) : 0
      dy[row * ld + d] = dEta
      dy[row * ld + d + 1] = dAlpha
      gradients.biases[0] += dEta
      gradients.biases[1] += dAlpha
    }
    if spec.isMLP {
      memoryAdjoint(units[0], chunk, u, du, dy, d)
      gateAdjoint(units[2], chunk, at: 0)
      gateAdjoint(units[3], chunk, at: 1)
    } else {
      stackAdjoint(units[0], chunk, u, du, first: 0, columns: d + 16)
    }

    normAdjoint(
      kept + trace.v + t * d, kept + trace.vNorm + t, shared.dv + t * d, count,
      normalized: spec.normalizeValue)
    for row in 0..<count { (duv + row * d).copy(from: dy + row * ld, count: d) }
    if spec.isMLP {
      memoryAdjoint(units[1], chunk, uv, duv, dy, d)
    } else {
      stackAdjoint(units[0], chunk, uv, duv, first: d + 16, columns: d)
    }

    if spec.adaptiveQ {
      packRows(uq, d, rows.q + t * rows.stride, rows.stride, count, width)
      normAdjoint(
        kept + trace.q + t * d, kept + trace.qNorm + t, shared.dq + t * d, count, normalized: true)
      for row in 0..<count { (duq + row * d).copy(from: dy + row * ld, count: d) }
      if spec.isMLP {
        memoryAdjoint(units[4], chunk, uq, duq, dy, d)
      } else {
        stackAdjoint(units[0], chunk, uq, duq, first: 2 * d + 16, columns: d)
      }
    }
    for row in 0..<count {
      let at = (t + row) * rows.stride
      (gradients.du + at).copy(from: du + row * d, count: width)
      (gradients.duv + at).copy(from: duv + row * d, count: width)
      if spec.adaptiveQ { (gradients.dq + at).copy(from: duq + row * d, count: width) }
    }
  }

  /// dy = (dk - k (k·dk)) / norm, the adjoint of l2, into rows of width `ld`.
  private func normAdjoint(_ k: Floats, _ norms: Floats, _ dk: Floats, _ rows: Int, normalized: Bool) {
    let d = shared.spec.d
    for row in 0..<rows {
      let to = dy + row * ld
      to.copy(from: dk + row * d, count: d)
      if normalized {
        rowAdd(to, -rowDot(k + row * d, to, d), k + row * d, d)
        rowScale(to, 1 / norms[row], to, d)
      }
    }
  }

  /// y = x W[:, first ..< first + columns] of a linear stack.
  private func stackAdjoint(
    _ unit: UnitAdjoint, _ chunk: ChunkRange, _ x: Floats, _ dx: Floats, first: Int, columns: Int
  ) {
    let d = shared.spec.d, m = unit.unit.columns
    tileGEMMTransposedB(
      dx, d, dy, ld, unit.checkpoint(chunk.index) + first, m, chunk.rows, d, columns, accumulate: true)
    tileGEMMTransposedA(
      unit.lambda + first, m, x, d, dy, ld, d, columns, chunk.rows, accumulate: true)
  }

  /// A gate's memory: its gradient stands in column d + `at` of dy.
  private func gateAdjoint(_ unit: UnitAdjoint, _ chunk: ChunkRange, at: Int) {
    let d = shared.spec.d
    for row in 0..<chunk.rows {
      let to = dy + row * ld
      let value = to[d + at]
      to.fill(0, count: 16)
      to[0] = value
    }
    memoryAdjoint(unit, chunk, u, du, dy, 16)
  }

  /// y = φ(x W2) W1 of an mlp memory, `columns` columns.
  private func memoryAdjoint(
    _ unit: UnitAdjoint, _ chunk: ChunkRange, _ x: Floats, _ dx: Floats, _ dy: Floats, _ columns: Int
  ) {
    let d = shared.spec.d, f = shared.spec.f, rows = chunk.rows
    let w2 = unit.checkpoint(chunk.index), w1 = w2 + unit.part.innerCheckpoint
    tileGEMM(a, f, x, d, w2, f, rows, f, d, accumulate: false)
    siluForward(hidden, a, rows * f)
    tileGEMMTransposedB(dHidden, f, dy, ld, w1, columns, rows, f, columns, accumulate: false)
    tileGEMMTransposedA(
      unit.lambdaOuter, columns, hidden, f, dy, ld, f, columns, rows, accumulate: true)
    siluDerivativeTimes(dHidden, a, rows * f)
    tileGEMMTransposedB(dx, d, dHidden, f, w2, f, rows, d, f, accumulate: true)
    tileGEMMTransposedA(unit.lambda, f, x, d, dHidden, f, d, f, rows, accumulate: true)
  }
}
