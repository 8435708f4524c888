import Glibc
package import NestedBase

/// Learnt keys and values [N, Hkv d] that every query sees.
package struct PersistentKeys {
  package let k: Tensor, v: Tensor
  package init(k: Tensor, v: Tensor) { (self.k, self.v) = (k, v) }
}

/// What a piece of a stream sees of the tokens before it: row j of `rows` [.., stride] is the key number first + j (that of
/// the token at this position, where each has one), keys [Hkv d] and then values [Hkv d], the piece's own rows included.
package struct AttentionStream {
  package let rows: Floats
  package let stride: Int
  package let first: Int
  package let position: Int
  package init(rows: Floats, stride: Int, first: Int, position: Int) {
    (self.rows, self.stride, self.first, self.position) = (rows, stride, first, position)
  }
}

extension Engine {
  /// Causal softmax attention: q, o [B T, H d], k, v [B T, Hkv d]; query heads share key heads in groups. A query sees
  /// the last `window` tokens up to its own (0 = all); the scale is 1/√d. With several keys per query, k and v
  /// [B T keysPerQuery, Hkv d] hold each token's one after the other.
  ///
  /// Without a stream every row of the batch is a sequence of its own. With one (B = 1), keys and values are read from
  /// its rows, and those of earlier tokens are constants. `persistent` keys are seen whatever the window.
  package func attention(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, heads: Int, kvHeads: Int, batch: Int, window: Int,
    stream: AttentionStream? = nil, persistent: PersistentKeys? = nil, keysPerQuery: Int = 1
  ) throws(NestedError) -> Tensor {
    let width = q.shape.last, d = width / heads, length = q.count / width / batch
    let kvWidth = kvHeads * d, group = heads / kvHeads
    let o = try empty(q.shape)
    let lse = try empty(Shape(batch * length, heads))
    let scratch = try memory.take(batch * heads * kernels.attentionScratch)
    let extra = persistent.map { $0.k.count / kvWidth } ?? 0
    let work = q.count * ((length + (stream?.position ?? 0)) * keysPerQuery + extra) * 2

    /// The arguments of one head of one sequence.
    func part(_ row: Int, _ head: Int) -> AttentionPart {
      let at = row * length * width + head * d
      let own = row * length * keysPerQuery * kvWidth + head / group * d
      let shared = head / group * d
      return AttentionPart(
        d: d, window: window, scale: 1 / Float(d).squareRoot(), position: stream?.position ?? 0,
        rows: length, q: q.floats + at, o: o.floats + at, stride: width,
        lse: lse.floats + row * length * heads + head, lseStride: heads,
        k: stream.map { $0.rows + shared } ?? k.floats + own,
        v: stream.map { $0.rows + kvWidth + shared } ?? v.floats + own,
        kvStride: stream?.stride ?? kvWidth, first: stream?.first ?? 0, keysPerQuery: keysPerQuery,
        persistent: extra, persistentK: (persistent?.k ?? k).floats + shared, persistentV: (persistent?.v ?? v).floats + shared,
        persistentStride: kvWidth)
    }
    let size = kernels.attentionScratch
    let seen = Engine.keysSeen(rows: length, position: stream?.position ?? 0, window: window)
    let products = batch * heads * (seen * keysPerQuery + length * extra) * d  // of every query with every key it sees
    multiplyAdds += Double(2 * products)
    parallel(batch * heads, work: work) { task in
      kernels.attentionForward(part(task / heads, task % heads), scratch.floats + task * size)
    }
    let inputs = [q, k, v] + (persistent.map { [$0.k, $0.v] } ?? [])
    guard tape != nil, inputs.contains(where: { $0.slot >= 0 }) else { return o }
    return record(inputs, o) { (engine, dO) throws(NestedError) in
      let dq = try engine.full(q.shape, 0), dk = try engine.full(k.shape, 0), dv = try engine.full(v.shape, 0)
      // One of each row of the batch, then their sum.
      let extraShape = Shape(batch, max(1, extra) * kvWidth)
      let dExtraK = try engine.full(extraShape, 0), dExtraV = try engine.full(extraShape, 0)
      let scratch = try engine.memory.take(batch * kvHeads * size)
      engine.multiplyAdds += Double(5 * products)  // scores again, and d of probabilities, queries, keys and values
      engine.parallel(batch * kvHeads, work: work * 3) { task in
        let row = task / kvHeads, kvHead = task % kvHeads
        let at = row * length * keysPerQuery * kvWidth + kvHead * d
        for head in kvHead * group..<(kvHead + 1) * group {
          let place = row * length * width + head * d
          engine.kernels.attentionBackward(
            part(row, head),
            AttentionGradients(
              dO: dO.floats + place, dq: dq.floats + place, dk: dk.floats + at, dv: dv.floats + at,
              dkStride: kvWidth, dPersistentK: dExtraK.floats + row * extra * kvWidth + kvHead * d,
              dPersistentV: dExtraV.floats + row * extra * kvWidth + kvHead * d),
            scratch.floats + task * size)
        }
      }
      guard let persistent else { return [dq, dk, dv] }
      return [
        dq, dk, dv, try engine.reshape(try engine.sum(dExtraK, axis: 0), persistent.k.shape),
        try engine.reshape(try engine.sum(dExtraV, axis: 0), persistent.v.shape),
      ]
    }
  }

  /// Keys that the queries at position..<position + rows see, in sum: each its own token and those before it, `window` (0 =
  /// all) in all.
  static func keysSeen(rows: Int, position: Int, window: Int) -> Int {
    let growing = window > 0 ? min(max(0, window - position), rows) : rows  // rows that see back to the first token
    return growing * position + growing * (growing + 1) / 2 + (rows - growing) * window
  }

  /// x [B T, H d] with each head turned by its position (RoPE): angle = position · frequency[i] for the channels i and
  /// i + d/2. Every sequence of the batch begins at `position`.
  package func rotary(
    _ x: Tensor, heads: Int, batch: Int, position: Int, frequencies: [Double]
  ) throws(NestedError) -> Tensor {
    let width = x.shape.last, d = width / heads, rows = x.count / width, length = rows / batch
    let table = try rotations(position, length, frequencies)
    let y = try empty(x.shape)
    func turn(_ engine: Engine, _ y: Tensor, _ x: Tensor, backwards: Bool) {
      engine.parallel(batch, work: x.count * 4) { row in
        let at = row * length * width
        engine.kernels.rotary(
          y.floats + at, x.floats + at, table.floats, length, heads, d, backwards)
      }
    }
    turn(self, y, x, backwards: false)
    guard records(x) else { return y }
    return record([x], y) { (engine, dy) throws(NestedError) in
      let dx = try engine.empty(x.shape)
      turn(engine, dx, dy, backwards: true)
      return [dx]
    }
  }

  /// [length, d]: d/2 cosines and d/2 sines of each position. The last table is kept: all layers ask for the same.
  private func rotations(
    _ position: Int, _ length: Int, _ frequencies: [Double]
  ) throws(NestedError) -> Tensor {
    if let kept = rotationTable, kept.position == position, kept.length == length,
      kept.frequencies == frequencies
    {
      return kept.table
    }
    rotationTable = nil  // before another is taken from the pool
    let half = frequencies.count
    let table = try empty(Shape(length, 2 * half))
    for t in 0..<length {
      for (i, frequency) in frequencies.enumerated() {
        let angle = Double(position + t) * frequency
        table.floats[t * 2 * half + i] = Float(cos(angle))
        table.floats[t * 2 * half + half + i] = Float(sin(angle))
      }
    }
    rotationTable = RotationTable(
      position: position, length: length, frequencies: frequencies, table: table)
    return table
  }
}

struct RotationTable {
  let position: Int, length: Int
  let frequencies: [Double]
  let table: Tensor
}
