package import NestedBase

extension Engine {
  /// y = x / √(mean x² + eps) ⊙ w over the last axis: x [.., D], w [D].
  package func rmsNorm(_ x: Tensor, _ w: Tensor, eps: Float) throws(NestedError) -> Tensor {
    let cols = w.count, rows = x.count / cols
    let y = try empty(x.shape)
    let rstd = try empty(Shape(rows))
    forRowBlocks(rows, cols) { row, count in
      kernels.rmsNormForward(
        y.floats + row * cols, rstd.floats + row, x.floats + row * cols, w.floats, count, cols, eps)
    }
    guard records(x, w), let tape else { return y }
    return record([x, w], y) { [unowned tape] (engine, dy) throws(NestedError) in
      let dx = try engine.full(x.shape, 0)
      let partial = try engine.partialRows(rows, cols)
      engine.forRowBlocks(rows, cols) { row, count in
        engine.kernels.rmsNormBackward(
          dx.floats + row * cols, partial.floats + row / Engine.blockRows * cols, dy.floats + row * cols,
          x.floats + row * cols, w.floats, rstd.floats + row, count, cols)
      }
      return [dx, try engine.reduce(partial, w, tape)]
    }
  }

  /// The mixer's output (SPEC 2): y = RMSNorm_head(o) ⊙ w ⊙ silu(gate); o, gate [.., H d], w [H d].
  package func gatedHeadNorm(
    _ o: Tensor, _ w: Tensor, _ gate: Tensor, heads: Int, eps: Float
  ) throws(NestedError) -> Tensor {
    let cols = w.count, rows = o.count / cols, d = cols / heads
    let y = try empty(o.shape)
    let rstd = try empty(Shape(rows, heads))
    forRowBlocks(rows, cols) { row, count in
      let at = row * cols
      kernels.gatedHeadNormForward(
        y.floats + at, rstd.floats + row * heads, o.floats + at, w.floats, gate.floats + at, count, heads, d,
        eps)
    }
    guard records(o, w, gate), let tape else { return y }
    return record([o, w, gate], y) { [unowned tape] (engine, dy) throws(NestedError) in
      let dO = try engine.empty(o.shape), dGate = try engine.empty(o.shape)
      let partial = try engine.partialRows(rows, cols)
      engine.forRowBlocks(rows, cols) { row, count in
        let at = row * cols
        engine.kernels.gatedHeadNormBackward(
          dO.floats + at, partial.floats + row / Engine.blockRows * cols, dGate.floats + at, dy.floats + at,
          o.floats + at, w.floats, gate.floats + at, rstd.floats + row * heads, count, heads, d)
      }
      return [dO, try engine.reduce(partial, w, tape), dGate]
    }
  }

  /// y = x / √(Σ x² + 1e-6) per head of d = last / heads.
  package func l2Norm(_ x: Tensor, heads: Int) throws(NestedError) -> Tensor {
    let cols = x.shape.last, rows = x.count / cols, d = cols / heads
    let y = try empty(x.shape)
    let norm = try empty(Shape(rows, heads))
    forRowBlocks(rows, cols) { row, count in
      kernels.l2NormForward(
        y.floats + row * cols, norm.floats + row * heads, x.floats + row * cols, count, heads, d)
    }
    guard records(x) else { return y }
    let values = y
    return record([x], y) { (engine, dy) throws(NestedError) in
      let dx = try engine.empty(x.shape)
      engine.forRowBlocks(rows, cols) { row, count in
        engine.kernels.l2NormBackward(
          dx.floats + row * cols, dy.floats + row * cols, values.floats + row * cols,
          norm.floats + row * heads, count, heads, d)
      }
      return [dx]
    }
  }

  static let blockRows = 64

  /// body(first row, rows) in blocks that do not depend on the number of threads.
  func forRowBlocks(_ rows: Int, _ cols: Int, _ body: (Int, Int) -> Void) {
    let size = Engine.blockRows
    parallel((rows + size - 1) / size, work: rows * cols * 8) { task in
      body(task * size, min(size, rows - task * size))
    }
  }

  /// Zeros for one partial sum per block of rows.
  func partialRows(_ rows: Int, _ cols: Int) throws(NestedError) -> Tensor {
    try full(Shape(max(1, (rows + Engine.blockRows - 1) / Engine.blockRows), cols), 0)
  }

  /// Adds the partial sums in order to the weight's gradient.
  func reduce(_ partial: Tensor, _ w: Tensor, _ tape: Tape) throws(NestedError) -> Tensor? {
    if w.slot < 0 { return nil }
    let (dw, result) = try gradientPlace(w, tape)
    let cols = w.count
    for block in 0..<partial.count / cols { kernels.axpy(dw, partial.floats + block * cols, 1, cols) }
    return result
  }
}
