import Glibc
package import NestedBase

extension Engine {
  /// y = maximum · σ(x + bias) in (0, maximum): x [rows, H], bias [H].
  package func sigmoidGate(_ x: Tensor, bias: Tensor, maximum: Float = 1) throws(NestedError) -> Tensor {
    let heads = bias.count
    let y = try empty(x.shape)
    for i in 0..<(computes ? x.count : 0) {
      y.floats[i] = maximum / (1 + Glibc.exp(-(x.floats[i] + bias.floats[i % heads])))
    }
    guard records(x, bias) else { return y }
    let values = y
    return record([x, bias], y) { (engine, dy) throws(NestedError) in
      let dx = try engine.empty(x.shape)
      let dBias = try engine.full(bias.shape, 0)
      for i in 0..<(engine.computes ? x.count : 0) {
        dx.floats[i] = dy.floats[i] * values.floats[i] * (1 - values.floats[i] / maximum)
        dBias.floats[i % heads] += dx.floats[i]
      }
      return [dx, dBias]
    }
  }
}
