package import NestedBase

extension Engine {
  /// y = silu(conv4(x)): depth-wise causal convolution over time, window 4, tap 3 is the current token.
  /// x, y [B T, D], w [D, 4]; `tail` [3, D] holds the inputs before row 0 (one sequence only), nil: zeros.
  package func shortConvolution(
    _ x: Tensor, _ w: Tensor, batch: Int, tail: Floats? = nil
  ) throws(NestedError) -> Tensor {
    let cols = w.shape[0], length = x.count / cols / batch
    let y = try empty(x.shape)
    // A copy, because the stream's own tail moves on before the tape is walked.
    let before = try full(Shape(3, cols), 0)
    if let tail { before.floats.copy(from: tail, count: 3 * cols) }
    let block = 64
    let blocks = (cols + block - 1) / block
    parallel(blocks * batch, work: x.count * 16) { task in
      let column = task % blocks * block
      let at = task / blocks * length * cols + column
      kernels.shortConvForward(
        y.floats + at, x.floats + at, w.floats + column * 4, before.floats + column, length,
        min(block, cols - column), cols)
    }
    guard records(x, w), let tape else { return y }
    return record([x, w], y) { [unowned tape] (engine, dy) throws(NestedError) in
      let dx = try engine.empty(x.shape)
      let unused = try engine.full(w.shape, 0)
      let (dw, result) = w.slot < 0 ? (unused.floats, nil) : try engine.gradientPlace(w, tape)
      engine.parallel(blocks, work: x.count * 24) { task in
        let column = task * block
        for row in 0..<batch {
          let at = row * length * cols + column
          engine.kernels.shortConvBackward(
            dx.floats + at, dw + column * 4, dy.floats + at, x.floats + at, w.floats + column * 4,
            before.floats + column, length, min(block, cols - column), cols)
        }
      }
      return [dx, result]
    }
  }
}
