package import NestedBase
package import NestedTensor

/// Weights that hold for some of a row's tokens: what levels that go on learning are along it.
package struct LevelSpan {
  package let rows: Range<Int>
  package let parameters: Parameters

  package init(rows: Range<Int>, parameters: Parameters) {
    (self.rows, self.parameters) = (rows, parameters)
  }
}

/// What a network reads, [B, T] of it.
package enum NetworkInput {
  case tokens(Tokens)
  /// [B, T, N]
  case vectors(Floats)
}

/// A model of any kind (SPEC 1): embedding → L × [mixer, feed-forward] → RMSNorm → head. Kind cms has a projection of its
/// vectors in place of the embedding and a single block, a Continuum Memory System without a mixer.
///
/// A value that knows where its parameters stand; weights and states come in with every call.
package struct Network: Sendable {
  private struct Block: Sendable {
    let mixer: (any Mixer)?
    let feedForward: any FeedForward
  }

  private let blocks: [Block]
  private let embed: Int, input: Int, norm: Int, head: Int
  private let inputs: Int
  private let eps: Float
  /// Floats of a stream's recurrent state, all layers.
  package let stateSize: Int
  /// Floats that a stream keeps of every token, all layers; 0 for kinds without attention.
  package let rowSize: Int
  /// The last tokens whose rows are ever looked at again; nil = all.
  private let rowLimit: Int?

  package init(_ c: ModelConfiguration, _ layout: ParameterLayout) {
    blocks = c.kind.architecture.map { architecture in
      (0..<c.blockCount).map {
        Block(
          mixer: architecture.mixer?.init(c, layout, path: "blocks.\($0).mixer"),
          feedForward: architecture.feedForward.init(c, layout, block: $0))
      }
    } ?? []
    embed = layout.index(of: "embed.weight") ?? -1
    input = layout.index(of: "input.weight") ?? -1
    inputs = c.inputs
    norm = layout.index(of: "norm.weight") ?? -1
    head = layout.index(of: "head.weight") ?? embed
    eps = c.normEps
    stateSize = blocks.reduce(0) { $0 + ($1.mixer?.stateSize ?? 0) }
    rowSize = blocks.reduce(0) { $0 + ($1.mixer?.rowSize ?? 0) }
    // A segment is read again when it is learnt from, so its first token's window has to last as long.
    rowLimit = c.attentionSpan > 0 ? c.attentionSpan + c.segment : nil
  }

  /// The state of a fresh stream.
  package func initialize(_ state: Floats, _ p: Parameters) {
    var at = 0
    for case let mixer? in blocks.map(\.mixer) {
      mixer.initialize(state + at, p)
      at += mixer.stateSize
    }
  }

  /// How many of the last rows of a stream at `position` are ever looked at again.
  package func rowsNeeded(_ position: Int) -> Int { min(position, rowLimit ?? position) }

  /// Copies `count` rows of every layer, from row `source` of a room of `from.capacity` tokens to row `target` of
  /// another, or of the same with target ≤ source.
  package func copyRows(
    _ count: Int, from: (floats: Floats, capacity: Int), at source: Int,
    to: (floats: Floats, capacity: Int), at target: Int
  ) {
    var (old, new) = (from.floats, to.floats)
    for block in blocks {
      let size = block.mixer?.rowSize ?? 0
      for i in 0..<count { (new + (target + i) * size).copy(from: old + (source + i) * size, count: size) }
      old = old + from.capacity * size
      new = new + to.capacity * size
    }
  }

  /// logits [B T, V] for tokens [B, T]: fresh rows, or with a stream (B = 1) the next T tokens of it. With `spans`, which
  /// together are one whole row (B = 1), the feed-forwards read those weights and all else reads `p`.
  package func logits(
    _ engine: Engine, _ p: Parameters, tokens: Tokens, batch: Int, length: Int, stream: Stream? = nil,
    spans: [LevelSpan] = []
  ) throws(NestedError) -> Tensor {
    try outputs(engine, p, .tokens(tokens), batch: batch, length: length, stream: stream, spans: spans)
  }

  /// What the head answers: [B T, outputs] for every position, or if `pooled` [B, outputs], one for every row: the mean
  /// of the last block's outputs over the row, then RMSNorm and head (SPEC 1). Inputs must stay until the tape is walked.
  package func outputs(
    _ engine: Engine, _ p: Parameters, _ read: NetworkInput, batch: Int, length: Int, pooled: Bool = false,
    stream: Stream? = nil, spans: [LevelSpan] = []
  ) throws(NestedError) -> Tensor {
    var x = try embedded(engine, p, read, rows: batch * length)
    var state = 0, rows = 0
    for block in blocks {
      let part = stream.map { s in
        LayerStream(
          state: s.state + state, rows: s.rows.map { $0 + rows }, firstRow: s.firstRow,
          position: s.position, writes: s.writes, keepsRows: s.keepsRows)
      }
      if let mixer = block.mixer {
        x = try mixer.forward(engine, p, x, batch: batch, stream: part)
        state += mixer.stateSize
        rows += mixer.rowSize * (stream?.capacity ?? 0)
      }
      x =
        spans.isEmpty
        ? try block.feedForward.forward(engine, p, x)
        : try Network.forward(engine, block.feedForward, x, spans)
    }
    if pooled && length > 1 {
      let rows = try engine.reshape(x, Shape(batch, length, x.shape.last))
      let mean = try engine.scale(try engine.sum(rows, axis: 1), 1 / Float(length))
      x = try engine.reshape(mean, Shape(batch, x.shape.last))
    }
    return try engine.linear(try engine.rmsNorm(x, p[norm], eps: eps), p[head])
  }

  /// [rows, D]
  private func embedded(
    _ engine: Engine, _ p: Parameters, _ read: NetworkInput, rows: Int
  ) throws(NestedError) -> Tensor {
    switch read {
    case .tokens(let tokens): return try engine.embedding(p[embed], tokens, rows: rows)
    case .vectors(let vectors):
      let x = try engine.empty(Shape(rows, inputs))
      if engine.computes { x.floats.copy(from: vectors, count: rows * inputs) }
      return try engine.linear(x, p[input])
    }
  }

  /// y [T, D] for x [T, D], span by span.
  private static func forward(
    _ engine: Engine, _ feedForward: any FeedForward, _ x: Tensor, _ spans: [LevelSpan]
  ) throws(NestedError) -> Tensor {
    var parts: [Tensor] = []
    for span in spans {
      let part = try engine.slice(x, axis: 0, start: span.rows.lowerBound, count: span.rows.count)
      parts.append(try feedForward.forward(engine, span.parameters, part))
    }
    return try engine.concatenate(parts, axis: 0)
  }

  /// Whether a state that came from a file is one that the layers can have written.
  package func isValidState(_ state: Floats, position: Int) -> Bool {
    var at = 0
    for case let mixer? in blocks.map(\.mixer) {
      if !mixer.isValid(state + at, position: position) { return false }
      at += mixer.stateSize
    }
    return true
  }
}
