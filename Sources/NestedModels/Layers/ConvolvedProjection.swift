import NestedBase
import NestedTensor

/// silu(conv4(n W)), or silu(conv4(n)) where there is no W (SPEC 2): a projection with a short convolution over time,
/// whose last 3 inputs are part of a stream's state.
struct ConvolvedProjection: Sendable {
  private let weight: Int, convolution: Int  // weight -1: none
  let width: Int

  static func addConvolution(to layout: inout ParameterLayout.Builder, _ path: String, _ width: Int) {
    layout.add("\(path)_conv.weight", [width, 4], .convolution(taps: 4, deviation: 0.1))
  }

  /// `path` is that of the weight without ".weight"; nil where there is no convolution of that name.
  init?(_ layout: ParameterLayout, path: String, width: Int) {
    guard let convolution = layout.index(of: "\(path)_conv.weight") else { return nil }
    weight = layout.index(of: "\(path).weight") ?? -1
    self.convolution = convolution
    self.width = width
  }

  var stateSize: Int { 3 * width }

  /// y [B T, width] for n [B T, D]; `tail` [3, width] are a stream's last inputs, oldest first, and move on.
  func forward(
    _ engine: Engine, _ p: Parameters, _ n: Tensor, batch: Int, tail: Floats?
  ) throws(NestedError) -> Tensor {
    let x = weight >= 0 ? try engine.linear(n, p[weight]) : n
    let y = try engine.shortConvolution(x, p[convolution], batch: batch, tail: tail)
    if let tail {
      let rows = x.count / width
      for j in 0..<3 {
        let row = rows - 3 + j
        (tail + j * width).copy(
          from: row >= 0 ? x.floats + row * width : tail + (row + 3) * width, count: width)
      }
    }
    return y
  }

  /// The same for the next rows of B sequences, with gradients through what came before them: `earlier` [B, ≤ 3, width] are
  /// their last inputs, nil before the first, and move on.
  func forward(
    _ engine: Engine, _ p: Parameters, _ n: Tensor, batch: Int, after earlier: inout Tensor?
  ) throws(NestedError) -> Tensor {
    let x = weight >= 0 ? try engine.linear(n, p[weight]) : n
    let rows = x.count / width / batch
    let own = try engine.reshape(x, Shape(batch, rows, width))
    let all = try earlier.map { (before) throws(NestedError) in
      try engine.concatenate([before, own], axis: 1)
    } ?? own
    let length = all.shape[1]
    earlier = try engine.slice(all, axis: 1, start: max(0, length - 3), count: min(3, length))
    let y = try engine.shortConvolution(
      try engine.reshape(all, Shape(batch * length, width)), p[convolution], batch: batch)
    let last = try engine.slice(
      try engine.reshape(y, all.shape), axis: 1, start: length - rows, count: rows)
    return try engine.reshape(last, x.shape)
  }
}
