package import NestedBase

/// Gradients of one head's scan. Row t of a gradient stands where row t of its input does (`ScanRows.stride`).
package struct ScanGradients {
  package let du: Floats, duv: Floats, dq: Floats  // =
  package let state: Floats  // in the state's layout: dL/dW_0 of every weight, =
  package let biases: Floats  // [2] dL/d(b_eta, b_alpha), =
  package init(du: Floats, duv: Floats, dq: Floats, state: Floats, biases: Floats) {
    self.du = du
    self.duv = duv
    self.dq = dq
    self.state = state
    self.biases = biases
  }
}

/// The adjoint of `scanForward` from its trace `kept`. The final state is taken to be unused, and a stream's initial state
/// (`streams`) to be constant. dO [T, d] has row stride `rows.stride`.
package func scanBackward(
  _ spec: ScanSpec, gradients: ScanGradients, dO: Floats, rows: ScanRows, count: Int, start: Int,
  streams: Bool, kept: Floats, scratch: Floats
) {
  let trace = ScanTrace(spec, rows: count, start: start, streams: streams)
  var scratch = Scratch(scratch)
  let d = spec.d
  let dk = scratch.take(count * d), dv = scratch.take(count * d), dq = scratch.take(count * d)
  let dEta = scratch.take(count), dLogAlpha = scratch.take(count)
  dk.fill(0, count: count * d)
  dv.fill(0, count: count * d)
  dEta.fill(0, count: count)
  dLogAlpha.fill(0, count: count)
  packRows(dq, d, dO, rows.stride, count, spec.headDim)  // o = q + …
  gradients.state.fill(0, count: spec.stateSize)
  gradients.biases[0] = 0
  gradients.biases[1] = 0
  let shared = ScanAdjoint(
    spec: spec, trace: trace, kept: kept, state: gradients.state, dk: dk, dv: dv, dq: dq, dEta: dEta,
    dLogAlpha: dLogAlpha)

  let memory = UnitAdjoint(shared, spec.unitCount - 1, &scratch)
  let dy = scratch.take(spec.memoryChunk * d)
  memory.forEachChunkReversed { chunk in
    packRows(dy, d, dO + chunk.row * rows.stride, rows.stride, chunk.rows, spec.headDim)
    memory.run(chunk, dy: dy, scratch)
  }

  var units: [UnitAdjoint] = []
  units.reserveCapacity(5)
  for index in 0..<spec.projectionUnits { units.append(UnitAdjoint(shared, index, &scratch)) }
  let generation = GenerationAdjoint(shared, &scratch)
  units[0].forEachChunkReversed { chunk in
    for unit in units { unit.run(chunk, dy: nil, scratch) }
    generation.run(units, chunk, rows, gradients)
  }
  for t in 0..<count where !spec.adaptiveQ {
    (gradients.dq + t * rows.stride).copy(from: dq + t * d, count: spec.headDim)
  }
}

package func scanBackwardScratch(_ spec: ScanSpec, rows: Int) -> Int {
  var size = 3 * rows * spec.d + 2 * roundUp16(rows) + spec.memoryChunk * spec.d + 16 * 16
  var largest = 0
  for index in 0..<spec.unitCount {
    size += UnitAdjoint.size(spec, index)
    let unit = spec.unit(index)
    largest = max(
      largest, RankOneChunk.scratchSize(unit.inner), unit.outer.n > 0 ? RankOneChunk.scratchSize(unit.outer) : 0)
  }
  return size + largest + GenerationAdjoint.size(spec)
}

/// What the adjoints of all units share.
struct ScanAdjoint {
  let spec: ScanSpec
  let trace: ScanTrace
  let kept: Floats, state: Floats
  let dk: Floats, dv: Floats, dq: Floats, dEta: Floats, dLogAlpha: Floats
}

/// Rows `row` to `row + rows` of the pass, which are one chunk of some unit or the part of it that was fed.
struct ChunkRange {
  let index: Int, row: Int, rows: Int
  let isLast: Bool
}

/// The adjoint of one unit: Λ of its weights lives in the gradient state.
struct UnitAdjoint {
  let shared: ScanAdjoint
  let index: Int
  let unit: UnitSpec
  let part: UnitTrace
  let mask: Floats, residual: Floats, innerMask: Floats
  let z: Floats, zOuter: Floats, extra: Floats
  let dg: Floats, dgw: Floats, dgOuter: Floats, dgwOuter: Floats
  let dhk: Floats, dhq: Floats, dy2: Floats, ak: Floats, av: Floats, hv: Floats, ew: Floats

  init(_ shared: ScanAdjoint, _ index: Int, _ scratch: inout Scratch) {
    self.shared = shared
    self.index = index
    unit = shared.spec.unit(index)
    part = UnitTrace(shared.spec, index, shared.trace)
    let c = unit.inner.chunk, d = shared.spec.d, m = unit.columns, f = unit.outer.n, mi = unit.inner.m
    mask = scratch.take(m)
    residual = scratch.take(m)
    unit.fillMask(mask, residual, shared.spec)
    innerMask = f > 0 ? scratch.take(f) : mask
    if f > 0 { innerMask.fill(unit.adapted != 0 ? 1 : 0, count: f) }
    z = scratch.take(c * d)
    zOuter = scratch.take(c * f)
    extra = scratch.take(c * d)
    dg = scratch.take(c * mi)
    dgw = scratch.take(c * d)
    dgOuter = scratch.take(c * m)
    dgwOuter = scratch.take(c * f)
    dhk = scratch.take(c * f)
    dhq = scratch.take(c * f)
    dy2 = scratch.take(c * f)
    ak = scratch.take(c * f)
    av = scratch.take(c * f)
    hv = scratch.take(c * f)
    ew = scratch.take(c * f)
  }
  static func size(_ spec: ScanSpec, _ index: Int) -> Int {
    let unit = spec.unit(index)
    return 2 * unit.columns + unit.outer.n
      + unit.inner.chunk * (3 * spec.d + 9 * unit.outer.n + unit.columns + unit.inner.m) + 16 * 24
  }

  var spec: ScanSpec { shared.spec }
  var isMLP: Bool { unit.outer.n > 0 }
  var trace: Floats { shared.kept + shared.trace.unit(index) }
  var lambda: Floats { shared.state + spec.stateOffset(index) }
  var lambdaOuter: Floats { lambda + unit.inner.size }
  func checkpoint(_ chunk: Int) -> Floats { trace + part.checkpoints + chunk * part.checkpointSize }

  func forEachChunkReversed(_ body: (ChunkRange) -> Void) {
    let c = unit.inner.chunk, rows = shared.trace.rows, start = shared.trace.start
    var index = part.chunks - 1
    var end = rows
    while index >= 0 {
      let begin = index == 0 ? 0 : (start / c + index) * c - start
      body(ChunkRange(index: index, row: begin, rows: end - begin, isLast: end == rows))
      end = begin
      index -= 1
    }
  }

  /// Pending rows of a stream's first chunk: constants that stand before the rows of the pass.
  func pendingRows(_ chunk: ChunkRange, _ initial: Floats, _ layout: WeightLayout) -> Int {
    chunk.index == 0 && shared.trace.streams ? Int(initial[layout.scalars + 3]) : 0
  }

  /// The reverse of one chunk's writes (and, given dy [rows, d], of its reads).
  func run(_ chunk: ChunkRange, dy: Floats?, _ scratch: Scratch) {
    let d = spec.d
    if isMLP { return runMLP(chunk, dy: dy, scratch) }
    let m = unit.columns
    let tokenReads = dy != nil && spec.readsToken && unit.adapted != 0
    if unit.adapted != 0 && (tokenReads || !chunk.isLast) {
      let initial = shared.kept + shared.trace.initialState + spec.stateOffset(index)
      let first = pendingRows(chunk, initial, unit.inner)
      let base = chunk.row - first
      errorRows(chunk, first)
      weight(
        unit.inner, innerMask, chunk, first, initial, delta: spec.delta, checkpointAt: 0, lambda: lambda,
        z: rowsOfZ(chunk, first, initial, unit.inner, z, shared.kept + shared.trace.k),
        x: trace + part.innerX + base * m, g: trace + part.innerG + base * m,
        q: tokenReads ? shared.kept + shared.trace.q + base * d : nil,
        y: tokenReads ? trace + part.innerY + base * m : nil, dy: tokenReads ? dy.map { $0 - first * m } : nil,
        extra: extra, dg: dg, dgw: dgw, dz: shared.dk + base * d, dq: shared.dq + base * d
      ).run(scratch)
      errorAdjoint(chunk, dg + first * m, dgw + first * d)
    }
    if let dy, !tokenReads { readAtStart(chunk, dy) }
  }

  /// e_t of `RankOneChunk.extra`: k - v under l2, -v under dot.
  private func errorRows(_ chunk: ChunkRange, _ first: Int) {
    let d = spec.d
    let k = shared.kept + shared.trace.k + chunk.row * d, v = shared.kept + shared.trace.v + chunk.row * d
    let to = extra + first * d
    var i = 0
    while i < chunk.rows * d {
      to.store16(spec.dot ? -v.load16(i) : k.load16(i) - v.load16(i), i)
      i += 16
    }
  }

  /// dk, dv of e = M(k) - M(v), given dL/de and dL/de Wᵀ.
  private func errorAdjoint(_ chunk: ChunkRange, _ de: Floats, _ dew: Floats) {
    let d = spec.d
    for row in 0..<chunk.rows {
      let dk = shared.dk + (chunk.row + row) * d, dv = shared.dv + (chunk.row + row) * d
      rowAdd(dv, -1, dew + row * d, d)
      if !spec.dot { rowAdd(dk, 1, dew + row * d, d) }
    }
    residualAdjoint(chunk, de)
  }

  func residualAdjoint(_ chunk: ChunkRange, _ de: Floats) {
    let d = spec.d, m = unit.columns
    for row in 0..<chunk.rows {
      let dk = shared.dk + (chunk.row + row) * d, dv = shared.dv + (chunk.row + row) * d
      var block = 0
      while block < m {
        if residual[block] == 0 {
          block += 16
          continue
        }
        rowAdd(dv, -1, de + row * m + block, d)
        if !spec.dot { rowAdd(dk, 1, de + row * m + block, d) }
        block += d
      }
    }
  }

  /// y = q W_c: reads at the chunk's start.
  private func readAtStart(_ chunk: ChunkRange, _ dy: Floats) {
    let d = spec.d
    let q = shared.kept + shared.trace.q + chunk.row * d
    tileGEMMTransposedB(
      shared.dq + chunk.row * d, d, dy, d, checkpoint(chunk.index), d, chunk.rows, d, d, accumulate: true)
    tileGEMMTransposedA(lambda, d, q, d, dy, d, d, d, chunk.rows, accumulate: true)
  }

  /// Z with the pending rows of a stream before it.
  func rowsOfZ(
    _ chunk: ChunkRange, _ first: Int, _ initial: Floats, _ layout: WeightLayout, _ buffer: Floats,
    _ all: Floats
  ) -> Floats {
    let n = layout.n
    let rows = all + chunk.row * n
    if first == 0 { return rows }
    buffer.copy(from: initial + layout.z, count: first * n)
    (buffer + first * n).copy(from: rows, count: chunk.rows * n)
    return buffer
  }

  func weight(
    _ layout: WeightLayout, _ mask: Floats, _ chunk: ChunkRange, _ first: Int, _ pending: Floats,
    delta: Bool, checkpointAt: Int, lambda: Floats, z: Floats, x: Floats, g: Floats, q: Floats?, y: Floats?,
    dy: Floats?, extra: Floats?, dg: Floats, dgw: Floats, dz: Floats, dq: Floats
  ) -> RankOneChunk {
    let at = checkpoint(chunk.index) + checkpointAt
    let base = chunk.row - first
    return RankOneChunk(
      layout: layout, mu: spec.momentum, delta: delta, mask: mask, count: first + chunk.rows, first: first,
      w: at, s: at + layout.matrix, end: checkpoint(chunk.index + 1) + checkpointAt, lambda: lambda,
      omega: lambda + layout.s, lambdaIsZero: chunk.isLast, z: z, x: x, g: g,
      eta: shared.kept + shared.trace.eta + base, alpha: shared.kept + shared.trace.alpha + base,
      pending: pending, q: q, y: y, dy: dy, extra: extra, dg: dg, dgw: dgw, dz: dz, dq: dq,
      dEta: shared.dEta + base, dLogAlpha: shared.dLogAlpha + base)
  }
}
