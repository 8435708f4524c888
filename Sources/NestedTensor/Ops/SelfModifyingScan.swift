package import NestedBase

/// Where one memory's parameter lies in a head's state: `rows` outputs × `columns` inputs of `[H, rows, columns]`,
/// transposed into the weight at `offset` with row length `m`, from column `column` on.
struct MemoryPlace {
  let offset: Int, m: Int, column: Int, rows: Int, columns: Int
}

extension ScanSpec {
  /// One place per memory parameter, in the order in which the operation takes them: k, v, eta, alpha, mem, (q);
  /// for mlp memories w2 then w1 of each.
  var memoryPlaces: [MemoryPlace] {
    let always = [ScanSpec.k, ScanSpec.v, ScanSpec.eta, ScanSpec.alpha, ScanSpec.mem]
    let members = adaptiveQ ? always + [ScanSpec.q] : always
    return members.flatMap { (member: Int) -> [MemoryPlace] in
      let outputs = member == ScanSpec.eta || member == ScanSpec.alpha ? 1 : headDim
      let index = (0..<unitCount).first { self.unit($0).members & member != 0 } ?? 0
      let unit = self.unit(index)
      let offset = stateOffset(index)
      if isMLP {
        return [
          MemoryPlace(offset: offset, m: unit.inner.m, column: 0, rows: hidden, columns: headDim),
          MemoryPlace(
            offset: offset + unit.inner.size, m: unit.outer.m, column: 0, rows: outputs, columns: hidden),
        ]
      }
      let column =
        switch member {
        case ScanSpec.eta: d
        case ScanSpec.alpha: d + 1
        case ScanSpec.v: d + 16
        case ScanSpec.q: 2 * d + 16
        default: 0
        }
      return [MemoryPlace(offset: offset, m: unit.inner.m, column: column, rows: outputs, columns: headDim)]
    }
  }

  /// The state of a fresh stream: [H, stateSize] from the memories' initial values.
  package func initialize(_ state: Floats, heads: Int, memories: [Tensor]) {
    state.fill(0, count: heads * stateSize)
    for head in 0..<heads {
      let base = state + head * stateSize
      for (place, tensor) in zip(memoryPlaces, memories) {
        let from = tensor.floats + head * place.rows * place.columns
        for i in 0..<place.rows {
          for j in 0..<place.columns {
            base[place.offset + j * place.m + place.column + i] = from[i * place.columns + j]
          }
        }
      }
      for index in 0..<unitCount {
        let unit = self.unit(index)
        for (layout, at) in [(unit.inner, 0), (unit.outer, unit.inner.size)] where layout.n > 0 {
          base[stateOffset(index) + at + layout.scalars] = 1
          base[stateOffset(index) + at + layout.scalars + 2] = 1
        }
      }
    }
  }
}

/// A stream's memories in one layer, changed in place: [H, stateSize] floats before and after the rows.
package struct ScanStream {
  package let state: Floats
  package let position: Int
  package let writes: Bool
  package init(state: Floats, position: Int, writes: Bool) {
    self.state = state
    self.position = position
    self.writes = writes
  }
}

extension Engine {
  /// Self-modifying Titans over whole sequences or a piece of a stream (SPEC 2), all heads.
  ///
  /// u, uv, q, o: [B T, H d]; q is l2-normalised, or what M_q reads if the spec is adaptive. memories: initial states in
  /// the order of `ScanSpec.memoryPlaces`, [H, ·, ·]; biases [H]. Without a stream every row of the batch is fresh at
  /// position 0. `truncate`: the gradient stops at every so many tokens (0 = never). The stream's initial state and the
  /// final state carry no gradient. The reference composition is `scanReference`.
  package func selfModifyingScan(
    _ spec: ScanSpec, u: Tensor, uv: Tensor, q: Tensor, memories: [Tensor], etaBias: Tensor,
    alphaBias: Tensor, batch: Int, stream: ScanStream? = nil, truncate: Int = 0, final: Floats? = nil
  ) throws(NestedError) -> Tensor {
    let width = u.shape.last, heads = etaBias.count, length = u.count / width / batch
    precondition(width == heads * spec.headDim && (stream == nil || batch == 1), "[scan] shapes disagree")
    let o = try empty(u.shape)
    let traced = records(u, uv, q) || (tape != nil && memories.contains { $0.slot >= 0 })
    let tasks = batch * heads
    let pass = ScanPass(
      spec: spec, u: u, uv: uv, q: q, etaBias: etaBias, alphaBias: alphaBias, width: width, length: length,
      heads: heads, start: stream?.position ?? 0, truncate: traced ? truncate : 0,
      fromStream: stream != nil, traced: traced)
    let kept = try memory.take(tasks * pass.keptSize)
    let scratchSize = kernels.scanForwardScratch(spec)
    let scratch = try memory.take(tasks * scratchSize)
    let states: Floats
    var initial: Floats? = nil  // [H, stateSize], what every sequence of the batch starts from
    if let stream {
      states = stream.state
    } else {
      // Nothing is taken from the pool after this, so the storage stays ours.
      states = try memory.take((batch + 1) * heads * spec.stateSize).floats
      let first = states + tasks * spec.stateSize
      spec.initialize(first, heads: heads, memories: memories)
      initial = first
    }
    multiplyAdds += Double(tasks * length * spec.products.forward)
    parallel(tasks, work: o.count * spec.headDim * 12) { task in
      let state = states + task * spec.stateSize
      if let initial { state.copy(from: initial + task % heads * spec.stateSize, count: spec.stateSize) }
      let base = pass.base(task)
      for index in 0..<pass.segmentCount {
        let segment = pass.segment(index)
        let at = base + segment.row * width
        kernels.scanForward(
          spec,
          ScanForwardArguments(
            o: o.floats + at, state: state, u: u.floats + at, uv: uv.floats + at, q: q.floats + at,
            stride: width, count: segment.trace.rows, start: segment.trace.start,
            etaBias: etaBias.floats[task % heads], alphaBias: alphaBias.floats[task % heads],
            writes: stream?.writes ?? true, traced: traced, streams: segment.trace.streams,
            kept: kept.floats + task * pass.keptSize + segment.kept,
            scratch: scratch.floats + task * scratchSize))
      }
    }
    if let final { final.copy(from: states, count: tasks * spec.stateSize) }
    guard traced, let tape else { return o }
    let inputs = [u, uv, q] + memories + [etaBias, alphaBias]
    return record(inputs, o) { [unowned tape] (engine, dy) throws(NestedError) in
      try engine.scanPullback(pass, dy, memories, kept, tape)
    }
  }

  private func scanPullback(
    _ pass: ScanPass, _ dO: Tensor, _ memories: [Tensor], _ kept: Storage, _ tape: Tape
  ) throws(NestedError) -> [Tensor?] {
    let spec = pass.spec, tasks = pass.tasks, size = spec.stateSize, width = pass.width
    let du = try empty(pass.u.shape), duv = try empty(pass.u.shape), dq = try empty(pass.u.shape)
    let dStates = try memory.take(tasks * size)
    let dBiases = try memory.take(tasks * 4)
    let scratchSize = kernels.scanBackwardScratch(spec, pass.longestSegment)
    let scratch = try memory.take(tasks * scratchSize)
    multiplyAdds += Double(tasks * pass.length * spec.products.backward)
    parallel(tasks, work: dO.count * spec.headDim * 24) { task in
      let base = pass.base(task)
      let biases = dBiases.floats + task * 4
      biases[2] = 0
      biases[3] = 0
      for index in (0..<pass.segmentCount).reversed() {
        let segment = pass.segment(index)
        let at = base + segment.row * width
        kernels.scanBackward(
          spec,
          ScanBackwardArguments(
            du: du.floats + at, duv: duv.floats + at, dq: dq.floats + at,
            dState: dStates.floats + task * size, dBiases: biases, dO: dO.floats + at,
            u: pass.u.floats + at, uv: pass.uv.floats + at, q: pass.q.floats + at, stride: width,
            count: segment.trace.rows, start: segment.trace.start, streams: segment.trace.streams,
            kept: kept.floats + task * pass.keptSize + segment.kept,
            scratch: scratch.floats + task * scratchSize))
        biases[2] += biases[0]
        biases[3] += biases[1]
      }
    }
    var results: [Tensor?] = [du, duv, dq]
    for (place, parameter) in zip(spec.memoryPlaces, memories) {
      if parameter.slot < 0 || pass.fromStream {
        results.append(nil)
        continue
      }
      let (dw, result) = try gradientPlace(parameter, tape)
      for task in 0..<tasks {
        let from = dStates.floats + task * size + place.offset + place.column
        let to = dw + task % pass.heads * place.rows * place.columns
        for i in 0..<place.rows {
          for j in 0..<place.columns { to[i * place.columns + j] += from[j * place.m + i] }
        }
      }
      results.append(result)
    }
    for (i, bias) in [pass.etaBias, pass.alphaBias].enumerated() {
      if bias.slot < 0 {
        results.append(nil)
        continue
      }
      let (db, result) = try gradientPlace(bias, tape)
      for task in 0..<tasks { db[task % pass.heads] += dBiases.floats[task * 4 + 2 + i] }
      results.append(result)
    }
    return results
  }
}

/// One pass of the scan: its inputs and its cut into segments between which no gradient flows.
private struct ScanPass {
  struct Segment {
    let row: Int
    let trace: ScanTrace
    let kept: Int  // offset of its trace in a task's part
  }
  let spec: ScanSpec
  let u: Tensor, uv: Tensor, q: Tensor, etaBias: Tensor, alphaBias: Tensor
  let width: Int, length: Int, heads: Int
  let start: Int, truncate: Int
  let fromStream: Bool, traced: Bool

  var tasks: Int { u.count / width / length * heads }
  /// Offset of task (b, h)'s first element.
  func base(_ task: Int) -> Int { task / heads * length * width + task % heads * spec.headDim }

  var segmentCount: Int {
    if length == 0 { return 0 }
    return truncate == 0 ? 1 : (start + length - 1) / truncate - start / truncate + 1
  }
  var longestSegment: Int { truncate == 0 ? length : min(length, truncate) }

  func segment(_ index: Int) -> Segment {
    if truncate == 0 {
      return Segment(
        row: 0, trace: ScanTrace(spec, rows: length, start: start, streams: fromStream), kept: 0)
    }
    let begin = index == 0 ? start : (start / truncate + index) * truncate
    let end = min((start / truncate + index + 1) * truncate, start + length)
    return Segment(
      row: begin - start,
      trace: ScanTrace(spec, rows: end - begin, start: begin, streams: fromStream || index > 0),
      kept: traced ? index * largestTrace : 0)
  }

  /// An upper bound for the trace of one segment.
  private var largestTrace: Int {
    // One chunk more than its rows fill: a segment may begin and end inside chunks.
    roundUp16(
      ScanTrace(
        spec, rows: longestSegment, start: spec.memoryChunk * spec.projectionChunk - 1, streams: true
      ).size)
  }
  /// Floats of one task's traces, or of its rows alone when nothing is recorded.
  var keptSize: Int {
    traced
      ? segmentCount * largestTrace
      : ScanTrace(spec, rows: length, start: start, streams: fromStream).rowsSize
  }
}

extension ScanSpec {
  /// Whether a head's state could have been written by the scan up to `position`: counts of pending rows in range.
  package func isValid(_ state: Floats, position: Int) -> Bool {
    for index in 0..<unitCount {
      let unit = self.unit(index)
      for (layout, at) in [(unit.inner, 0), (unit.outer, unit.inner.size)] where layout.n > 0 {
        let pending = state[stateOffset(index) + at + layout.scalars + 3]
        guard pending >= 0, pending <= Float(position % layout.chunk), pending == pending.rounded() else {
          return false
        }
      }
    }
    return true
  }
}
