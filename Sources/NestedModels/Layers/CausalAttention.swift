import NestedBase
import NestedTensor

/// Causal softmax attention with rotary positions, grouped key and value heads and a window, between its projections:
/// what a mixer is made of. A stream keeps every token's turned keys and its values, or those of the last `window`.
///
/// Persistent keys and values are learnt, have no position, and are seen by every query.
struct CausalAttention: Sendable {
  private let heads: Int, kvHeads: Int, d: Int, window: Int
  private let frequencies: [Double]  // [d / 2]
  private let q: Int, k: Int, v: Int
  private let persistent: (k: Int, v: Int)?

  static func addParameters(
    to layout: inout ParameterLayout.Builder, _ path: String, _ c: ModelConfiguration, persistent: Int = 0
  ) {
    let width = c.dModel, kvWidth = c.nKVHeads * c.headDim
    layout.addProjection("\(path).q.weight", width, width)
    layout.addProjection("\(path).k.weight", kvWidth, width)
    layout.addProjection("\(path).v.weight", kvWidth, width)
    if persistent > 0 {
      for name in ["k", "v"] {
        layout.add("\(path).persistent_\(name)", [persistent, kvWidth], .normal(deviation: 0.02))
      }
    }
  }

  init(_ c: ModelConfiguration, _ layout: ParameterLayout, path: String, window: Int) {
    (heads, kvHeads, d, self.window) = (c.nHeads, c.nKVHeads, c.headDim, window)
    frequencies = c.rotaryFrequencies
    func at(_ name: String) -> Int { layout.index(of: "\(path).\(name)") ?? -1 }
    (q, k, v) = (at("q.weight"), at("k.weight"), at("v.weight"))
    let learnt = (at("persistent_k"), at("persistent_v"))
    persistent = learnt.0 >= 0 ? learnt : nil
  }

  /// Floats of a token's key and value.
  var rowSize: Int { 2 * kvHeads * d }

  /// o [B T, D] for n [B T, D].
  func forward(
    _ engine: Engine, _ p: Parameters, _ n: Tensor, batch: Int, stream: LayerStream?
  ) throws(NestedError) -> Tensor {
    let position = stream?.position ?? 0
    let queries = try self.queries(engine, p, n, batch: batch, position: position)
    let (keys, values) = try self.keys(engine, p, n, batch: batch, position: position)
    if let stream, stream.keepsRows, let rows = stream.rows {
      keep(keys, values, rows + (stream.position - stream.firstRow) * rowSize, stride: rowSize)
    }
    return try attend(
      engine, p, queries, keys, values, batch: batch,
      stream: stream.flatMap { stream in
        stream.rows.map {
          AttentionStream(rows: $0, stride: rowSize, first: stream.firstRow, position: position)
        }
      })
  }

  // MARK: Its parts

  /// Turned queries [B T, D].
  func queries(
    _ engine: Engine, _ p: Parameters, _ n: Tensor, batch: Int, position: Int
  ) throws(NestedError) -> Tensor {
    try engine.rotary(
      try engine.linear(n, p[q]), heads: heads, batch: batch, position: position, frequencies: frequencies)
  }

  /// Turned keys and values [B T, Hkv d].
  func keys(
    _ engine: Engine, _ p: Parameters, _ n: Tensor, batch: Int, position: Int
  ) throws(NestedError) -> (Tensor, Tensor) {
    let keys = try engine.rotary(
      try engine.linear(n, p[k]), heads: kvHeads, batch: batch, position: position, frequencies: frequencies)
    return (keys, try engine.linear(n, p[v]))
  }

  func attend(
    _ engine: Engine, _ p: Parameters, _ queries: Tensor, _ keys: Tensor, _ values: Tensor, batch: Int,
    stream: AttentionStream?, keysPerQuery: Int = 1
  ) throws(NestedError) -> Tensor {
    try engine.attention(
      queries, keys, values, heads: heads, kvHeads: kvHeads, batch: batch, window: window, stream: stream,
      persistent: persistent.map { PersistentKeys(k: p[$0.k], v: p[$0.v]) }, keysPerQuery: keysPerQuery)
  }

  /// Writes a key and a value to every row from `row` on.
  func keep(_ keys: Tensor, _ values: Tensor, _ row: Floats, stride: Int) {
    let width = kvHeads * d
    for i in 0..<keys.count / width {
      (row + i * stride).copy(from: keys.floats + i * width, count: width)
      (row + i * stride + width).copy(from: values.floats + i * width, count: width)
    }
  }
}
