import NestedBase
import NestedTensor

/// Titans' mode mac up to its output: memory as context (T1 eqs 21-25), segment by segment.
///
///     h_t = M_s( l2(silu(conv4(n_t W_Q))) )                                 M_s: the memory at the segment's start
///     y_t = Attn( n_t ; persistent, h_s, n_s, …, h_t, n_t )                 the tokens of the segment up to t
///     M_t = M_{t-1} written with y_t,   o_t = M_t(y_t)
///
/// T1 puts all of the segment's h before the segment; then a token would see what later tokens asked for, and a stream could
/// not read it token by token. So a token sees the h of its predecessors and its own, each at its token's position. The
/// memory's queries for o_t are those of y_t under the same W_Q, with a convolution over y.
struct MemoryAsContext: Sendable {
  private let memory: NeuralMemory
  private let attention: CausalAttention
  private let segment: Int

  init(_ memory: NeuralMemory, _ attention: CausalAttention, segment: Int) {
    (self.memory, self.attention, self.segment) = (memory, attention, segment)
  }

  // A stream: the last inputs of the convolutions over n (q) and over y (q, k, v), the memories, those at the segment's start.
  private var tail: Int { 3 * memory.width }
  var stateSize: Int { 4 * tail + 2 * memory.memorySize }
  /// Two keys and values of each token: of h, then of n.
  var rowSize: Int { 2 * attention.rowSize }

  func initialize(_ state: Floats, _ p: Parameters) {
    state.fill(0, count: 4 * tail)
    memory.initializeMemories(state + 4 * tail, p)
    memory.initializeMemories(state + 4 * tail + memory.memorySize, p)
  }

  /// y and o [B T, D] for n [B T, D].
  func forward(
    _ engine: Engine, _ p: Parameters, _ n: Tensor, batch: Int, stream: LayerStream?
  ) throws(NestedError) -> (y: Tensor, o: Tensor) {
    let length = n.count / memory.width / batch, position = stream?.position ?? 0
    let asked = try memory.queries(engine) { (projection, _) throws(NestedError) in
      try projection.forward(engine, p, n, batch: batch, tail: stream?.state)
    }
    let queries = try attention.queries(engine, p, n, batch: batch, position: position)
    let (keys, values) = try attention.keys(engine, p, n, batch: batch, position: position)

    func rows(_ x: Tensor, _ start: Int, _ count: Int) throws(NestedError) -> Tensor {
      if count == length { return x }
      let width = x.count / (batch * length)
      let part = try engine.slice(
        try engine.reshape(x, Shape(batch, length, width)), axis: 1, start: start, count: count)
      return try engine.reshape(part, Shape(batch * count, width))
    }
    var fresh = stream == nil ? Fresh(memories: try memory.initial(engine, p, batch: batch)) : nil
    var (seen, read): ([Tensor], [Tensor]) = ([], [])
    var start = 0
    while start < length {
      let at = position + start, inside = at % segment
      let count = min(segment - inside, length - start)
      let h = try recall(engine, try rows(asked, start, count), batch: batch, position: at, fresh, stream)
      let (hKeys, hValues) = try attention.keys(engine, p, h, batch: batch, position: at)
      let (ownKeys, ownValues) = (try rows(keys, start, count), try rows(values, start, count))
      var cache: AttentionStream? = nil
      if let stream, let all = stream.rows {
        let first = all + (at - inside - stream.firstRow) * rowSize
        if stream.keepsRows {
          attention.keep(hKeys, hValues, first + inside * rowSize, stride: rowSize)
          attention.keep(ownKeys, ownValues, first + inside * rowSize + attention.rowSize, stride: rowSize)
        }
        cache = AttentionStream(rows: first, stride: attention.rowSize, first: 0, position: inside)
      }
      let y = try attention.attend(
        engine, p, try rows(queries, start, count), try alternate(engine, hKeys, ownKeys),
        try alternate(engine, hValues, ownValues), batch: batch, stream: cache, keysPerQuery: 2)
      seen.append(y)
      read.append(
        try remember(engine, p, y, batch: batch, position: at, last: start + count == length, &fresh, stream))
      start += count
    }
    return (try join(engine, seen, batch), try join(engine, read, batch))
  }

  /// What fresh rows carry from segment to segment.
  private struct Fresh {
    var memories: Tensor  // [B H, ..]
    var convolved: [Tensor?] = [nil, nil, nil]  // the last inputs over y: q, k, v
  }

  /// h: the memory at the segment's start, asked with q.
  private func recall(
    _ engine: Engine, _ q: Tensor, batch: Int, position: Int, _ fresh: Fresh?, _ stream: LayerStream?
  ) throws(NestedError) -> Tensor {
    if let fresh {
      return try engine.neuralMemory(
        memory.spec, q: q, writes: nil, state: fresh.memories, heads: memory.heads, batch: batch, position: position
      ).o
    }
    guard let stream else { return q }
    let now = stream.state + 4 * tail, start = now + memory.memorySize
    if position % segment == 0 { start.copy(from: now, count: memory.memorySize) }
    return try engine.neuralMemory(
      memory.spec, q: q, writes: nil, stream: start, heads: memory.heads, position: position)
  }

  /// o: the memory written with y, and read after each token.
  private func remember(
    _ engine: Engine, _ p: Parameters, _ y: Tensor, batch: Int, position: Int, last: Bool, _ fresh: inout Fresh?,
    _ stream: LayerStream?
  ) throws(NestedError) -> Tensor {
    if let stream {
      let (q, writes) = try memory.inputs(engine, p, y, writes: stream.writes) { (projection, slot) throws(NestedError) in
        try projection.forward(engine, p, y, batch: batch, tail: stream.state + (1 + slot) * tail)
      }
      return try engine.neuralMemory(
        memory.spec, q: q, writes: writes, stream: stream.state + 4 * tail, heads: memory.heads, position: position)
    }
    guard var carried = fresh else { return y }
    let (q, writes) = try memory.inputs(engine, p, y, writes: true) { (projection, slot) throws(NestedError) in
      try projection.forward(engine, p, y, batch: batch, after: &carried.convolved[slot])
    }
    let (o, memories) = try engine.neuralMemory(
      memory.spec, q: q, writes: writes, state: carried.memories, heads: memory.heads, batch: batch,
      position: position, returnsState: !last)
    if let memories { carried.memories = memories }
    fresh = carried
    return o
  }

  /// a[0], b[0], a[1], b[1], …
  private func alternate(_ engine: Engine, _ a: Tensor, _ b: Tensor) throws(NestedError) -> Tensor {
    let rows = a.shape[0], width = a.shape.last
    let pairs = try engine.concatenate(
      [try engine.reshape(a, Shape(rows, 1, width)), try engine.reshape(b, Shape(rows, 1, width))], axis: 1)
    return try engine.reshape(pairs, Shape(2 * rows, width))
  }

  private func join(_ engine: Engine, _ parts: [Tensor], _ batch: Int) throws(NestedError) -> Tensor {
    if parts.count == 1 { return parts[0] }
    let width = memory.width
    var shaped: [Tensor] = []
    for part in parts {
      shaped.append(try engine.reshape(part, Shape(batch, part.count / (batch * width), width)))
    }
    let all = try engine.concatenate(shaped, axis: 1)
    return try engine.reshape(all, Shape(all.count / width, width))
  }
}
