package import NestedBase
package import NestedTensor

/// A language model of any kind (SPEC 1): embedding → L × [mixer, feed-forward] → RMSNorm → logits.
///
/// A value that knows where its parameters stand; weights and states come in with every call.
package struct Network: Sendable {
  private struct Block: Sendable {
    let mixer: any Mixer
    let feedForward: any FeedForward
  }

  private let blocks: [Block]
  private let embed: Int, norm: Int, head: Int
  private let eps: Float
  /// Floats of a stream's recurrent state, all layers.
  package let stateSize: Int
  /// Floats that a stream keeps of every token, all layers; 0 for kinds without attention.
  package let rowSize: Int
  /// Tokens whose rows are ever looked at again; nil = all.
  private let rowLimit: Int?

  package init(_ c: ModelConfiguration, _ layout: ParameterLayout) {
    let architecture = c.kind.architecture
    blocks = (0..<c.nLayers).map {
      Block(
        mixer: architecture.mixer.init(c, layout, path: "blocks.\($0).mixer"),
        feedForward: architecture.feedForward.init(c, layout, block: $0))
    }
    embed = layout.index(of: "embed.weight") ?? -1
    norm = layout.index(of: "norm.weight") ?? -1
    head = layout.index(of: "head.weight") ?? embed
    eps = c.normEps
    stateSize = blocks.reduce(0) { $0 + $1.mixer.stateSize }
    rowSize = blocks.reduce(0) { $0 + $1.mixer.rowSize }
    // A segment is read again when it is learnt from, so its first token's window has to last as long.
    rowLimit = c.window > 0 ? c.window + c.segment : nil
  }

  /// The state of a fresh stream.
  package func initialize(_ state: Floats, _ p: Parameters) {
    var at = 0
    for block in blocks {
      block.mixer.initialize(state + at, p)
      at += block.mixer.stateSize
    }
  }

  /// Room for the rows of `count` tokens: grows by doubling, up to what is ever looked at again.
  package func rowCapacity(_ count: Int) -> Int {
    var capacity = 64
    while capacity < count { capacity *= 2 }
    return rowLimit.map { min($0, capacity) } ?? capacity
  }

  /// Copies the rows of the stream's last tokens from one room to another, where both have some for them.
  package func copyRows(
    _ source: Floats, capacity old: Int, to target: Floats, capacity new: Int, position: Int
  ) {
    var (from, to) = (source, target)
    for block in blocks {
      let size = block.mixer.rowSize
      for i in max(0, position - min(old, new))..<position {
        (to + i % new * size).copy(from: from + i % old * size, count: size)
      }
      from = from + old * size
      to = to + new * size
    }
  }

  /// logits [B T, V] for tokens [B, T]: fresh rows, or with a stream (B = 1) the next T tokens of it.
  package func logits(
    _ engine: Engine, _ p: Parameters, tokens: Tokens, batch: Int, length: Int, stream: Stream? = nil
  ) throws(NestedError) -> Tensor {
    var x = try engine.embedding(p[embed], tokens, rows: batch * length)
    var state = 0, rows = 0
    for block in blocks {
      let part = stream.map { s in
        LayerStream(
          state: s.state + state, rows: s.rows.map { $0 + rows }, capacity: s.capacity,
          position: s.position, writes: s.writes, keepsRows: s.keepsRows)
      }
      x = try block.mixer.forward(engine, p, x, batch: batch, stream: part)
      x = try block.feedForward.forward(engine, p, x)
      state += block.mixer.stateSize
      rows += block.mixer.rowSize * (stream?.capacity ?? 0)
    }
    return try engine.linear(try engine.rmsNorm(x, p[norm], eps: eps), p[head])
  }

  /// Whether a state that came from a file is one that the layers can have written.
  package func isValidState(_ state: Floats, position: Int) -> Bool {
    var at = 0
    for block in blocks {
      if !block.mixer.isValid(state + at, position: position) { return false }
      at += block.mixer.stateSize
    }
    return true
  }
}
