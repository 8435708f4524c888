package import NestedBase
import NestedTensor

/// What lets the tokens of a block see each other: h = x + Mixer(RMSNorm(x)) (SPEC 1).
///
/// A value that knows where its parameters stand in the layout. Weights and a stream's state come in with every call, so
/// a trainer's variables and a session's own levels are other tensors in the same places.
protocol Mixer: Sendable {
  /// Adds its parameters under `path` ("blocks.0.mixer").
  static func addParameters(
    to layout: inout ParameterLayout.Builder, _ path: String, _ c: ModelConfiguration)
  init(_ c: ModelConfiguration, _ layout: ParameterLayout, path: String)

  /// Floats of a stream's state in this layer, changed in place from token to token.
  var stateSize: Int { get }
  /// Floats that a stream keeps of every token besides, such as its key and value; 0 = none.
  var rowSize: Int { get }
  /// The state before the first token.
  func initialize(_ state: Floats, _ p: Parameters)
  /// Whether a state that came from a file is one that this layer can have written.
  func isValid(_ state: Floats, position: Int) -> Bool

  /// h [B T, D] for x [B T, D]: fresh rows, or with a stream (B = 1) its next T tokens.
  func forward(
    _ engine: Engine, _ p: Parameters, _ x: Tensor, batch: Int, stream: LayerStream?
  ) throws(NestedError) -> Tensor
}

extension Mixer {
  var rowSize: Int { 0 }
  func isValid(_ state: Floats, position: Int) -> Bool { true }
}

/// What follows the mixer and works on each token alone: y = h + FeedForward(RMSNorm(h)), or a Continuum Memory System.
protocol FeedForward: Sendable {
  /// Adds its parameters to block `layer`.
  static func addParameters(
    to layout: inout ParameterLayout.Builder, block layer: Int, _ c: ModelConfiguration)
  init(_ c: ModelConfiguration, _ layout: ParameterLayout, block layer: Int)
  /// y [rows, D] for h [rows, D]
  func forward(_ engine: Engine, _ p: Parameters, _ h: Tensor) throws(NestedError) -> Tensor
}

/// A stream's state, changed in place, and where it stands.
package struct Stream {
  package let state: Floats  // [Network.stateSize]
  /// Layer by layer, room for the rows of `capacity` tokens, the first of them the token at position `firstRow`.
  package let rows: Floats?
  package let capacity: Int, firstRow: Int
  package let position: Int
  /// Whether memories are written (session modes `memory` and `on`).
  package let writes: Bool
  /// Whether rows are kept; off for a pass that repeats tokens whose rows are there already.
  package let keepsRows: Bool

  package init(
    state: Floats, rows: Floats?, capacity: Int, firstRow: Int, position: Int, writes: Bool,
    keepsRows: Bool = true
  ) {
    (self.state, self.rows, self.capacity, self.firstRow) = (state, rows, capacity, firstRow)
    (self.position, self.writes, self.keepsRows) = (position, writes, keepsRows)
  }
}

/// One layer's part of a stream.
struct LayerStream {
  let state: Floats  // [Mixer.stateSize]
  let rows: Floats?  // [capacity, Mixer.rowSize]
  let firstRow: Int
  let position: Int
  let writes: Bool
  let keepsRows: Bool
}
