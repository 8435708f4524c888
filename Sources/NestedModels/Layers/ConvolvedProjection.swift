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
}
