internal import Glibc
package import NestedBase

extension Engine {
  /// y = h + Σ_l w_l part_l, w = softmax(mix): h and every part [rows, D], mix [K]. One part of weight 1 is `residual`, bit
  /// for bit.
  package func mixture(_ h: Tensor, _ parts: [Tensor], _ mix: Tensor) throws(NestedError) -> Tensor {
    precondition(
      parts.count == mix.count && parts.allSatisfy { $0.shape == h.shape },
      "[mixture] expected \(mix.count) parts of \(h.shape)")
    let weights = Engine.softmax(mix)
    let y = try empty(h.shape)
    forElements(y.count) { at, count in
      (y.floats + at).copy(from: h.floats + at, count: count)
      for (part, weight) in zip(parts, weights) {
        kernels.axpy(y.floats + at, part.floats + at, weight, count)
      }
    }
    guard let tape else { return y }
    let inputs = [h] + parts + [mix]
    guard inputs.contains(where: { $0.slot >= 0 }) else { return y }
    return record(inputs, y) { [unowned tape] (engine, dy) throws(NestedError) in
      var gradients: [Tensor?] = [dy]
      for (part, weight) in zip(parts, weights) {
        gradients.append(part.slot < 0 ? nil : try engine.scaled(dy, weight))
      }
      return gradients + [mix.slot < 0 ? nil : try engine.mixPullback(dy, parts, weights, mix, tape)]
    }
  }

  /// d mix_l = w_l (g_l - Σ_m w_m g_m), g_l = ⟨dy, part_l⟩.
  private func mixPullback(
    _ dy: Tensor, _ parts: [Tensor], _ weights: [Float], _ mix: Tensor, _ tape: Tape
  ) throws(NestedError) -> Tensor? {
    let cols = dy.shape.last, rows = dy.count / cols, count = parts.count
    let products = try partialRows(rows, count)
    forRowBlocks(rows, cols) { row, size in
      let to = products.floats + row / Engine.blockRows * count
      for (l, part) in parts.enumerated() {
        var sum = 0.0
        for i in row * cols..<(row + size) * cols { sum += Double(dy.floats[i]) * Double(part.floats[i]) }
        to[l] = Float(sum)
      }
    }
    var g = [Double](repeating: 0, count: count)
    for i in 0..<products.count { g[i % count] += Double(products.floats[i]) }
    let mean = zip(weights, g).reduce(0) { $0 + Double($1.0) * $1.1 }
    let (to, result) = try gradientPlace(mix, tape)
    for l in 0..<count { to[l] += Float(Double(weights[l]) * (g[l] - mean)) }
    return result
  }

  private func scaled(_ x: Tensor, _ s: Float) throws(NestedError) -> Tensor {
    let y = try full(x.shape, 0)
    forElements(y.count) { at, count in kernels.axpy(y.floats + at, x.floats + at, s, count) }
    return y
  }

  /// In Double: one number is exactly 1.
  private static func softmax(_ mix: Tensor) -> [Float] {
    let values = mix.array.map { Double($0) }
    let top = values.max() ?? 0
    let powers = values.map { Glibc.exp($0 - top) }
    let sum = powers.reduce(0, +)
    return powers.map { Float($0 / sum) }
  }
}
