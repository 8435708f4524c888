package import NestedBase
package import NestedTensor

/// Hope: self-modifying Titans followed by a Continuum Memory System in every block (SPEC 1-3, paper eqs 94-97).
///
///     embedding → L × [ h = x + Mixer(RMSNorm(x));  y = CMS(h) ] → RMSNorm → logits
///
/// A value that knows where its parameters stand; weights and states come in with every call.
package struct Hope: Sendable {
  private struct Block: Sendable {
    let mixer: SelfModifyingTitans
    let cms: ContinuumMemory
  }

  private let blocks: [Block]
  private let embed: Int, norm: Int, head: Int
  private let eps: Float
  private let width: Int

  package init(_ c: ModelConfiguration, _ layout: ParameterLayout) {
    blocks = (0..<c.nLayers).map {
      Block(
        mixer: SelfModifyingTitans(c, layout, layer: $0), cms: ContinuumMemory(c, layout, layer: $0))
    }
    embed = layout.index(of: "embed.weight") ?? -1
    norm = layout.index(of: "norm.weight") ?? -1
    head = layout.index(of: "head.weight") ?? embed
    eps = c.normEps
    width = c.dModel
  }

  /// Floats of a stream's recurrent state, all layers.
  package var stateSize: Int { blocks.reduce(0) { $0 + $1.mixer.stateSize(width: width) } }

  /// The state of a fresh stream.
  package func initialize(_ state: Floats, _ p: Parameters) {
    var at = 0
    for block in blocks {
      block.mixer.initialize(state + at, width: width, p)
      at += block.mixer.stateSize(width: width)
    }
  }

  /// logits [B T, V] for tokens [B, T]: fresh rows, or with a stream (B = 1) the next T tokens of it.
  package func logits(
    _ engine: Engine, _ p: Parameters, tokens: Tokens, batch: Int, length: Int, stream: HopeStream? = nil
  ) throws(NestedError) -> Tensor {
    var x = try engine.embedding(p[embed], tokens, rows: batch * length)
    var at = 0
    for block in blocks {
      let state = stream.map { $0.state + at }
      x = try block.mixer.forward(engine, p, x, batch: batch, stream: stream, state: state)
      x = try block.cms.forward(engine, p, x)
      at += block.mixer.stateSize(width: width)
    }
    return try engine.linear(try engine.rmsNorm(x, p[norm], eps: eps), p[head])
  }

  /// Whether every counter of a state that came from a file is one that the scan can have written.
  package func isValidState(_ state: Floats, position: Int) -> Bool {
    var at = 0
    for block in blocks {
      let spec = block.mixer.spec
      let memories = state + at + block.mixer.convolutions * 3 * width
      for head in 0..<block.mixer.heads where !spec.isValid(
        memories + head * spec.stateSize, position: position)
      {
        return false
      }
      at += block.mixer.stateSize(width: width)
    }
    return true
  }
}

/// A stream's recurrent state, changed in place, and where it stands.
package struct HopeStream {
  package let state: Floats
  package let position: Int
  /// Whether memories are written (session modes `memory` and `on`).
  package let writes: Bool
  package init(state: Floats, position: Int, writes: Bool) {
    self.state = state
    self.position = position
    self.writes = writes
  }
}
