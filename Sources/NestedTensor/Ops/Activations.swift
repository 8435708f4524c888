package import NestedBase

extension Engine {
  /// silu(gate) ⊙ up
  package func swiglu(_ gate: Tensor, _ up: Tensor) throws(NestedError) -> Tensor {
    let y = try empty(gate.shape)
    forElements(y.count) { at, count in
      kernels.swigluForward(y.floats + at, gate.floats + at, up.floats + at, count)
    }
    guard records(gate, up) else { return y }
    return record([gate, up], y) { (engine, dy) throws(NestedError) in
      let dGate = try engine.empty(gate.shape), dUp = try engine.empty(gate.shape)
      engine.forElements(dy.count) { at, count in
        engine.kernels.swigluBackward(
          dGate.floats + at, dUp.floats + at, dy.floats + at, gate.floats + at, up.floats + at, count)
      }
      return [dGate, dUp]
    }
  }

  /// gelu(x), the tanh form of SPEC 0, as one operation.
  package func fusedGELU(_ x: Tensor) throws(NestedError) -> Tensor {
    let y = try empty(x.shape)
    forElements(y.count) { at, count in kernels.geluForward(y.floats + at, x.floats + at, count) }
    guard records(x) else { return y }
    return record([x], y) { (engine, dy) throws(NestedError) in
      let dx = try engine.empty(x.shape)
      engine.forElements(dx.count) { at, count in
        engine.kernels.geluBackward(dx.floats + at, dy.floats + at, x.floats + at, count)
      }
      return [dx]
    }
  }

  /// x + y by the vector kernel: the residual stream.
  package func residual(_ x: Tensor, _ y: Tensor) throws(NestedError) -> Tensor {
    let z = try empty(x.shape)
    forElements(z.count) { at, count in
      kernels.add(z.floats + at, x.floats + at, y.floats + at, count)
    }
    guard records(x, y) else { return z }
    return record([x, y], z) { (_, dz) throws(NestedError) in [dz, dz] }
  }

  /// body(first element, count) in blocks that do not depend on the number of threads.
  func forElements(_ count: Int, _ body: (Int, Int) -> Void) {
    let size = 16_384
    parallel((count + size - 1) / size, work: count * 16) { task in
      body(task * size, min(size, count - task * size))
    }
  }
}
