import Glibc
package import NestedBase

extension Engine {
  /// α = exp(-e^rate softplus(x + bias)) in (0, 1): x [rows, H], rate and bias [H] (Gated DeltaNet, paper.md 7.4).
  package func decayGate(_ x: Tensor, rate: Tensor, bias: Tensor) throws(NestedError) -> Tensor {
    let heads = rate.count
    let y = try empty(x.shape)
    func softplus(_ i: Int) -> Double {
      let z = Double(x.floats[i]) + Double(bias.floats[i % heads])
      return max(z, 0) + log1p(Glibc.exp(-abs(z)))
    }
    for i in 0..<(computes ? x.count : 0) {
      y.floats[i] = Float(Glibc.exp(-Glibc.exp(Double(rate.floats[i % heads])) * softplus(i)))
    }
    guard records(x, rate, bias) else { return y }
    let values = y
    return record([x, rate, bias], y) { (engine, dy) throws(NestedError) in
      let dx = try engine.empty(x.shape)
      let dRate = try engine.full(rate.shape, 0), dBias = try engine.full(bias.shape, 0)
      for i in 0..<(engine.computes ? x.count : 0) {
        let speed = Glibc.exp(Double(rate.floats[i % heads])), plus = softplus(i)
        // d α / d softplus = -speed α;  d softplus / dz = σ(z) = 1 - e^-softplus
        let slope = -Double(dy.floats[i]) * speed * Double(values.floats[i])
        dx.floats[i] = Float(slope * -expm1(-plus))
        dBias.floats[i % heads] += dx.floats[i]
        dRate.floats[i % heads] += Float(slope * plus)
      }
      return [dx, dRate, dBias]
    }
  }
}
