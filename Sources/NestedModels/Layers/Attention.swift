import NestedBase
import NestedTensor

/// Causal softmax attention with rotary positions and grouped key and value heads (SPEC 5.1, paper.md 7.3):
///
///     h = x + W_O Attn( RoPE(W_Q n), RoPE(W_K n), W_V n ),  n = RMSNorm(x)
///
/// A stream keeps every token's turned keys and its values, or those of the last `window`.
struct Attention: Mixer {
  private let heads: Int, kvHeads: Int, d: Int, window: Int
  private let eps: Float
  private let frequencies: [Double]  // [d / 2]
  private let norm: Int, q: Int, k: Int, v: Int, out: Int

  static func addParameters(
    to layout: inout ParameterLayout.Builder, _ path: String, _ c: ModelConfiguration
  ) {
    let width = c.dModel, kvWidth = c.nKVHeads * c.headDim
    layout.add("\(path).norm.weight", [width], .constant(1))
    layout.addProjection("\(path).q.weight", width, width)
    layout.addProjection("\(path).k.weight", kvWidth, width)
    layout.addProjection("\(path).v.weight", kvWidth, width)
    layout.addOutput("\(path).out.weight", width, width, c)
  }

  init(_ c: ModelConfiguration, _ layout: ParameterLayout, path: String) {
    (heads, kvHeads, d, window) = (c.nHeads, c.nKVHeads, c.headDim, c.window)
    eps = c.normEps
    frequencies = c.rotaryFrequencies
    func at(_ name: String) -> Int { layout.index(of: "\(path).\(name).weight") ?? -1 }
    (norm, q, k, v, out) = (at("norm"), at("q"), at("k"), at("v"), at("out"))
  }

  var stateSize: Int { 0 }
  var rowSize: Int { 2 * kvHeads * d }
  func initialize(_ state: Floats, _ p: Parameters) {}

  func forward(
    _ engine: Engine, _ p: Parameters, _ x: Tensor, batch: Int, stream: LayerStream?
  ) throws(NestedError) -> Tensor {
    let n = try engine.rmsNorm(x, p[norm], eps: eps)
    let position = stream?.position ?? 0
    func turned(_ weight: Int, _ heads: Int) throws(NestedError) -> Tensor {
      try engine.rotary(
        try engine.linear(n, p[weight]), heads: heads, batch: batch, position: position,
        frequencies: frequencies)
    }
    let (queries, keys) = (try turned(q, heads), try turned(k, kvHeads))
    let values = try engine.linear(n, p[v])
    if let stream, stream.keepsRows { keep(keys, values, stream) }
    let o = try engine.attention(
      queries, keys, values, heads: heads, kvHeads: kvHeads, batch: batch, window: window,
      stream: stream.flatMap { stream in
        stream.rows.map {
          AttentionStream(rows: $0, stride: rowSize, first: stream.firstRow, position: position)
        }
      })
    return try engine.residual(x, try engine.linear(o, p[out]))
  }

  private func keep(_ keys: Tensor, _ values: Tensor, _ stream: LayerStream) {
    guard let rows = stream.rows else { return }
    let width = kvHeads * d
    for i in 0..<keys.count / width {
      let row = rows + (stream.position + i - stream.firstRow) * rowSize
      row.copy(from: keys.floats + i * width, count: width)
      (row + width).copy(from: values.floats + i * width, count: width)
    }
  }
}
