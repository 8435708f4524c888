package import NestedBase

// Plain operations: differentiable any number of times, because their pullbacks are plain operations too.
// They are the reference for the fused operations; the model's own passes hardly use them.

extension Engine {
  /// a + b, equal shapes.
  package func add(_ a: Tensor, _ b: Tensor) throws(NestedError) -> Tensor {
    let y = try elementwise("add", a, b) { $0 + $1 }
    guard records(a, b) else { return y }
    return record([a, b], y) { (_, dy) throws(NestedError) in [dy, dy] }
  }

  /// a - b, equal shapes.
  package func subtract(_ a: Tensor, _ b: Tensor) throws(NestedError) -> Tensor {
    let y = try elementwise("subtract", a, b) { $0 - $1 }
    guard records(a, b) else { return y }
    return record([a, b], y) { (engine, dy) throws(NestedError) in
      [dy, try engine.scale(dy, -1)]
    }
  }

  /// a ⊙ b, equal shapes.
  package func multiply(_ a: Tensor, _ b: Tensor) throws(NestedError) -> Tensor {
    let y = try elementwise("multiply", a, b) { $0 * $1 }
    guard records(a, b) else { return y }
    return record([a, b], y) { (engine, dy) throws(NestedError) in
      [
        a.slot < 0 ? nil : try engine.multiply(dy, b),
        b.slot < 0 ? nil : try engine.multiply(dy, a),
      ]
    }
  }

  /// s x
  package func scale(_ x: Tensor, _ s: Float) throws(NestedError) -> Tensor {
    let y = try elementwise(x) { s * $0 }
    guard records(x) else { return y }
    return record([x], y) { (engine, dy) throws(NestedError) in [try engine.scale(dy, s)] }
  }

  /// x + s
  package func offset(_ x: Tensor, _ s: Float) throws(NestedError) -> Tensor {
    let y = try elementwise(x) { $0 + s }
    guard records(x) else { return y }
    return record([x], y) { (_, dy) throws(NestedError) in [dy] }
  }

  /// x^p for positive x (p = -1, ½, -½ serve as reciprocal and roots).
  package func power(_ x: Tensor, _ p: Float) throws(NestedError) -> Tensor {
    let y = try elementwise(x) { NestedTensor.power($0, p) }
    guard records(x) else { return y }
    return record([x], y) { (engine, dy) throws(NestedError) in
      [try engine.multiply(dy, try engine.scale(try engine.power(x, p - 1), p))]
    }
  }

  package func exp(_ x: Tensor) throws(NestedError) -> Tensor {
    let y = try elementwise(x, NestedTensor.exponential)
    guard records(x) else { return y }
    return record([x], y) { (engine, dy) throws(NestedError) in
      [try engine.multiply(dy, try engine.exp(x))]
    }
  }

  package func log(_ x: Tensor) throws(NestedError) -> Tensor {
    let y = try elementwise(x, NestedTensor.logarithm)
    guard records(x) else { return y }
    return record([x], y) { (engine, dy) throws(NestedError) in
      [try engine.multiply(dy, try engine.power(x, -1))]
    }
  }

  /// 1 / (1 + exp(-x))
  package func sigmoid(_ x: Tensor) throws(NestedError) -> Tensor {
    let y = try elementwise(x) { 1 / (1 + NestedTensor.exponential(-$0)) }
    guard records(x) else { return y }
    return record([x], y) { (engine, dy) throws(NestedError) in
      let s = try engine.sigmoid(x)
      let slope = try engine.multiply(s, try engine.offset(try engine.scale(s, -1), 1))
      return [try engine.multiply(dy, slope)]
    }
  }

  /// x σ(x)
  package func silu(_ x: Tensor) throws(NestedError) -> Tensor { try multiply(x, try sigmoid(x)) }

  /// ½ x (1 + tanh(√(2/π) (x + 0.044715 x³))), with tanh(z) = 2σ(2z) - 1.
  package func gelu(_ x: Tensor) throws(NestedError) -> Tensor {
    let cube = try multiply(try multiply(x, x), x)
    let z = try scale(try add(x, try scale(cube, 0.044715)), 2 * 0.797_884_56)
    return try multiply(x, try sigmoid(z))
  }

  private func elementwise(
    _ name: StaticString, _ a: Tensor, _ b: Tensor, _ f: (Float, Float) -> Float
  ) throws(NestedError) -> Tensor {
    precondition(a.shape == b.shape, "[\(name)] expected equal shapes, got \(a.shape) and \(b.shape)")
    let y = try empty(a.shape)
    let (to, left, right) = (y.floats, a.floats, b.floats)
    for i in 0..<a.count { to[i] = f(left[i], right[i]) }
    return y
  }

  private func elementwise(_ x: Tensor, _ f: (Float) -> Float) throws(NestedError) -> Tensor {
    let y = try empty(x.shape)
    let (to, from) = (y.floats, x.floats)
    for i in 0..<x.count { to[i] = f(from[i]) }
    return y
  }
}
