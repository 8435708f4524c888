package import NestedBase

/// Where one head's rows stand in the projections' outputs: row t of u is `u + t * stride`, and so on.
package struct ScanRows {
  package let u: Floats, uv: Floats, q: Floats  // q: l2-normalised, or what M_q reads if adaptive
  package let stride: Int
  package init(u: Floats, uv: Floats, q: Floats, stride: Int) {
    self.u = u
    self.uv = uv
    self.q = q
    self.stride = stride
  }
}

/// Self-modifying Titans, one head (SPEC 2, paper eqs 83-97), chunked.
///
/// First the projections' memories run over all rows (they depend on nothing else), then the memory that is read.
/// o [T, d] with row stride `rows.stride`. `state` holds the stream's state before row 0 and after row T-1 on return;
/// `start` is the stream position of row 0. With `writes` false the memories keep their values. `kept` is the
/// trace for the backward pass (`ScanTrace`), or scratch of `ScanTrace.rowsSize` when `traced` is false.
package func scanForward(
  _ spec: ScanSpec, o: Floats, state: Floats, rows: ScanRows, count: Int, start: Int, etaBias: Float,
  alphaBias: Float, writes: Bool, traced: Bool, streams: Bool, kept: Floats, scratch: Floats
) {
  let trace = ScanTrace(spec, rows: count, start: start, streams: streams)
  if traced && streams { (kept + trace.initialState).copy(from: state, count: spec.stateSize) }
  var scratch = Scratch(scratch)
  var units: (ScanUnit, ScanUnit, ScanUnit, ScanUnit, ScanUnit)? = nil
  let first = ScanUnit(spec, 0, state: state, scratch: &scratch)
  if spec.isMLP {
    let v = ScanUnit(spec, 1, state: state + spec.stateOffset(1), scratch: &scratch)
    let eta = ScanUnit(spec, 2, state: state + spec.stateOffset(2), scratch: &scratch)
    let alpha = ScanUnit(spec, 3, state: state + spec.stateOffset(3), scratch: &scratch)
    let last = spec.adaptiveQ ? 4 : 3
    let q = last == 4 ? ScanUnit(spec, 4, state: state + spec.stateOffset(4), scratch: &scratch) : first
    units = (first, v, eta, alpha, q)
  }
  let memory = ScanUnit(
    spec, spec.unitCount - 1, state: state + spec.stateOffset(spec.unitCount - 1), scratch: &scratch)

  // Projections: k, v, η, α and an adaptive q of all rows, chunk by chunk.
  let chunk = spec.projectionChunk
  let projection = ProjectionScratch(spec, chunk, &scratch)
  var t = 0
  var index = 0
  while t < count {
    let rowCount = min(chunk - (start + t) % chunk, count - t)
    projection.generate(
      first, units, trace, kept, rows, t, rowCount, etaBias: etaBias, alphaBias: alphaBias,
      writes: writes)
    // A chunk folds at its end even when nothing is written: rows from before a pause belong to its start.
    let ends = (start + t + rowCount) % chunk == 0
    for unit in 0..<spec.projectionUnits {
      let member = unit == 0 ? first : select(units, unit, first)
      advance(
        member, trace, kept, unit, chunkIndex: index, t, rowCount, writes: writes, traced: traced)
      if ends { member.fold() }
    }
    t += rowCount
    index += 1
  }

  // The memory that is read.
  t = 0
  index = 0
  let readRows = ReadScratch(spec, scratch: &scratch)
  while t < count {
    let rowCount = min(spec.memoryChunk - (start + t) % spec.memoryChunk, count - t)
    readRows.chunk(
      memory, trace, kept, o, rows, chunkIndex: index, t, rowCount, writes: writes, traced: traced)
    if (start + t + rowCount) % spec.memoryChunk == 0 { memory.fold() }
    t += rowCount
    index += 1
  }
}

/// Floats of scratch that `scanForward` takes.
package func scanForwardScratch(_ spec: ScanSpec) -> Int {
  var size = 0
  for index in 0..<spec.unitCount { size += ScanUnit.scratchSize(spec, index) }
  return size + ProjectionScratch.size(spec) + ReadScratch.size(spec)
}

typealias FiveUnits = (ScanUnit, ScanUnit, ScanUnit, ScanUnit, ScanUnit)

func select(_ units: FiveUnits?, _ index: Int, _ first: ScanUnit) -> ScanUnit {
  guard let units else { return first }
  switch index {
  case 1: return units.1
  case 2: return units.2
  case 3: return units.3
  case 4: return units.4
  default: return units.0
  }
}

/// Writes `rowCount` rows from `t` on into an adapted unit, keeping what the backward pass needs.
@inline(__always)
private func advance(
  _ unit: ScanUnit, _ trace: ScanTrace, _ kept: Floats, _ index: Int, chunkIndex: Int, _ t: Int,
  _ rowCount: Int, writes: Bool, traced: Bool
) {
  let d = unit.spec.d
  if traced { unit.checkpoint(trace, kept, index, chunkIndex) }
  if !writes || !unit.adapted { return }
  unit.errors(kept + trace.k + t * d, kept + trace.v + t * d, rows: rowCount)
  for row in 0..<rowCount {
    unit.write(
      row, kept + trace.k + (t + row) * d, kept[trace.eta + t + row], kept[trace.alpha + t + row])
  }
  if traced { unit.keep(trace, kept, index, t, rowCount) }
}

extension ScanUnit {
  /// Keeps W_c (and S_c) at a chunk's start. Pending rows of a stream's first chunk are in the kept initial state.
  func checkpoint(_ trace: ScanTrace, _ kept: Floats, _ index: Int, _ chunkIndex: Int) {
    let part = UnitTrace(spec, index, trace)
    let at = kept + trace.unit(index) + part.checkpoints + chunkIndex * part.checkpointSize
    at.copy(from: inner.w, count: part.innerCheckpoint)  // S_c follows W_c in the state
    if isMLP { (at + part.innerCheckpoint).copy(from: outer.w, count: part.outerCheckpoint) }
  }

  /// Keeps x_t, g_t and an mlp's φ(W2 k) of a chunk's rows.
  func keep(_ trace: ScanTrace, _ kept: Floats, _ index: Int, _ t: Int, _ rowCount: Int) {
    let part = UnitTrace(spec, index, trace)
    let at = kept + trace.unit(index)
    let mi = unit.inner.m
    (at + part.innerX + t * mi).copy(from: xInner, count: rowCount * mi)
    (at + part.innerG + t * mi).copy(from: gInner, count: rowCount * mi)
    if isMLP {
      let m = unit.columns, f = unit.outer.n
      (at + part.outerZ + t * f).copy(from: hk, count: rowCount * f)
      (at + part.outerX + t * m).copy(from: xOuter, count: rowCount * m)
      (at + part.outerG + t * m).copy(from: gOuter, count: rowCount * m)
    }
  }
}

/// Copies `rowCount` rows of width `width` into rows of the padded width, zero filled.
@inline(__always)
func packRows(_ to: Floats, _ padded: Int, _ from: Floats, _ stride: Int, _ rowCount: Int, _ width: Int) {
  for row in 0..<rowCount {
    (to + row * padded).copy(from: from + row * stride, count: width)
    if padded > width { (to + row * padded + width).fill(0, count: padded - width) }
  }
}

/// x becomes l2(x) = x / sqrt(Σx² + 1e-6); returns the root.
@inline(__always)
func normalizeRow(_ x: Floats, _ d: Int) -> Float {
  let norm = (rowDot(x, x, d) + 1e-6).squareRoot()
  rowScale(x, 1 / norm, x, d)
  return norm
}

/// Generates a chunk's k, v, η, α (and q) with the projections' memories at the chunk's first state.
struct ProjectionScratch {
  let spec: ScanSpec
  let u: Floats, uv: Floats, uq: Floats, y: Floats, gates: Floats, hidden: Floats
  let ldy: Int

  init(_ spec: ScanSpec, _ chunk: Int, _ scratch: inout Scratch) {
    self.spec = spec
    u = scratch.take(chunk * spec.d)
    uv = scratch.take(chunk * spec.d)
    uq = scratch.take(chunk * spec.d)
    ldy = spec.d + 16
    y = scratch.take(chunk * ldy)
    gates = scratch.take(2 * roundUp16(chunk))
    hidden = scratch.take(chunk * spec.f)
  }
  static func size(_ spec: ScanSpec) -> Int {
    spec.projectionChunk * (4 * spec.d + 16 + spec.f) + 2 * roundUp16(spec.projectionChunk) + 16 * 8
  }

  func generate(
    _ first: ScanUnit, _ units: FiveUnits?, _ trace: ScanTrace, _ kept: Floats, _ rows: ScanRows,
    _ t: Int, _ rowCount: Int, etaBias: Float, alphaBias: Float, writes: Bool
  ) {
    let d = spec.d, width = spec.headDim
    if spec.adaptiveQ {
      packRows(uq, d, rows.q + t * rows.stride, rows.stride, rowCount, width)
      let unit = select(units, 4, first)
      unit.evaluate(
        y, ldy: ldy, uq, rows: rowCount, first: spec.isMLP ? 0 : 2 * d + 16, count: d, hidden: hidden)
      finish(kept + trace.q + t * d, kept + trace.qNorm + t, uq, rowCount, normalize: true)
    }
    if !writes { return }
    packRows(u, d, rows.u + t * rows.stride, rows.stride, rowCount, width)
    packRows(uv, d, rows.uv + t * rows.stride, rows.stride, rowCount, width)

    // The gates stand right of k in a linear stack, and have units of their own in an mlp.
    let padded = roundUp16(rowCount)
    first.evaluate(
      y, ldy: ldy, u, rows: rowCount, first: 0, count: spec.isMLP ? d : d + 16, hidden: hidden)
    finish(kept + trace.k + t * d, kept + trace.kNorm + t, u, rowCount, normalize: true)
    if spec.isMLP {
      select(units, 2, first).evaluate(
        y + d, ldy: ldy, u, rows: rowCount, first: 0, count: 16, hidden: hidden)
      for row in 0..<rowCount { gates[row] = y[row * ldy + d] }
      select(units, 3, first).evaluate(
        y + d, ldy: ldy, u, rows: rowCount, first: 0, count: 16, hidden: hidden)
      for row in 0..<rowCount { gates[padded + row] = y[row * ldy + d] }
    } else {
      for row in 0..<rowCount {
        gates[row] = y[row * ldy + d]
        gates[padded + row] = y[row * ldy + d + 1]
      }
    }
    for row in 0..<rowCount {
      gates[row] += etaBias
      gates[padded + row] += alphaBias
    }
    for row in rowCount..<padded {
      gates[row] = 0
      gates[padded + row] = 0
    }
    sigmoidForward(gates, gates, 2 * padded)
    for row in 0..<rowCount {
      kept[trace.eta + t + row] = spec.etaMax * gates[row]
      kept[trace.alpha + t + row] = spec.retention ? gates[padded + row] : 1
    }

    select(units, 1, first).evaluate(
      y, ldy: ldy, uv, rows: rowCount, first: spec.isMLP ? 0 : d + 16, count: d, hidden: hidden)
    finish(
      kept + trace.v + t * d, kept + trace.vNorm + t, uv, rowCount, normalize: spec.normalizeValue)
  }

  /// out = x + y, then l2.
  @inline(__always)
  private func finish(_ out: Floats, _ norms: Floats, _ x: Floats, _ rowCount: Int, normalize: Bool) {
    let d = spec.d
    for row in 0..<rowCount {
      let to = out + row * d
      var j = 0
      while j < d {
        to.store16(x.load16(row * d + j) + y.load16(row * ldy + j), j)
        j += 16
      }
      if normalize { norms[row] = normalizeRow(to, d) }
    }
  }
}

/// Reads and writes the memory `mem`, one chunk at a time.
struct ReadScratch {
  let spec: ScanSpec
  let q: Floats, y: Floats, sy: Floats, h: Floats, out: Floats, sOut: Floats

  init(_ spec: ScanSpec, scratch: inout Scratch) {
    self.spec = spec
    let mi = spec.isMLP ? spec.f : spec.d
    q = scratch.take(spec.memoryChunk * spec.d)
    y = scratch.take(spec.memoryChunk * mi)
    sy = scratch.take(spec.memoryChunk * mi)
    h = scratch.take(spec.f)
    out = scratch.take(spec.d)
    sOut = scratch.take(spec.d)
  }
  static func size(_ spec: ScanSpec) -> Int {
    spec.memoryChunk * (spec.d + 2 * max(spec.f, spec.d)) + spec.f + 2 * spec.d + 16 * 8
  }

  func chunk(
    _ memory: ScanUnit, _ trace: ScanTrace, _ kept: Floats, _ o: Floats, _ rows: ScanRows,
    chunkIndex: Int, _ t: Int, _ rowCount: Int, writes: Bool, traced: Bool
  ) {
    let d = spec.d, f = spec.f, mi = memory.unit.inner.m
    let index = spec.unitCount - 1
    if traced { memory.checkpoint(trace, kept, index, chunkIndex) }
    if spec.adaptiveQ {
      q.copy(from: kept + trace.q + t * d, count: rowCount * d)
    } else {
      packRows(q, d, rows.q + t * rows.stride, rows.stride, rowCount, spec.headDim)
      if traced { (kept + trace.q + t * d).copy(from: q, count: rowCount * d) }
    }
    let advances = writes && memory.adapted
    if advances {
      memory.errors(kept + trace.k + t * d, kept + trace.v + t * d, rows: rowCount)
    }
    tileGEMM(y, mi, q, d, memory.inner.w, mi, rowCount, mi, d, accumulate: false)
    if memory.unit.inner.momentum && spec.readsToken {
      tileGEMM(sy, mi, q, d, memory.inner.s, mi, rowCount, mi, d, accumulate: false)
    }
    let part = UnitTrace(spec, index, trace)
    let at = kept + trace.unit(index)
    for row in 0..<rowCount {
      let yt = y + row * mi
      if spec.readsToken { memory.inner.read(yt, q + row * d, sy + row * mi) }
      if traced { (at + part.innerY + (t + row) * mi).copy(from: yt, count: mi) }
      var result = yt
      if spec.isMLP {
        siluForward(h, yt, f)
        if traced { (at + part.outerQ + (t + row) * f).copy(from: h, count: f) }
        tileGEMM(out, d, h, f, memory.outer.w, d, 1, d, f, accumulate: false)
        if spec.readsToken {
          if memory.unit.outer.momentum {
            tileGEMM(sOut, d, h, f, memory.outer.s, d, 1, d, f, accumulate: false)
          }
          memory.outer.read(out, h, sOut)
        }
        if traced { (at + part.outerY + (t + row) * d).copy(from: out, count: d) }
        result = out
      }
      let to = o + (t + row) * rows.stride
      for j in 0..<spec.headDim { to[j] = q[row * d + j] + result[j] }
      if advances {
        memory.write(
          row, kept + trace.k + (t + row) * d, kept[trace.eta + t + row], kept[trace.alpha + t + row])
      }
    }
    if traced && advances { memory.keep(trace, kept, index, t, rowCount) }
  }
}
