package import NestedBase

extension Engine {
  /// y = x Wᵀ: x [.., in], w [out, in], y [.., out]. Every element is one chain over `in`, so a row's result does not
  /// depend on how many rows there are.
  package func linear(_ x: Tensor, _ w: Tensor) throws(NestedError) -> Tensor {
    let depth = w.shape[1], out = w.shape[0]
    precondition(
      x.shape.last == depth, "[linear] expected inner sizes to match, got \(x.shape) · \(w.shape)ᵀ")
    let rows = x.count / depth
    let y = try empty(x.shape.replacing(x.shape.rank - 1, with: out))
    multiplyAdds += Double(rows * depth * out)
    if rows <= Engine.linearBlock && w.packed == nil {
      try panelByPanel(x, w, y, rows)
    } else {
      try blockByBlock(x, w, y, rows)
    }
    guard records(x, w), let tape else { return y }
    return record([x, w], y) { [unowned tape] (engine, dy) throws(NestedError) in
      return try engine.linearPullback(x, w, dy, tape)
    }
  }

  /// Rows of x that are multiplied together.
  private static let linearBlock = 64

  private func blockByBlock(_ x: Tensor, _ w: Tensor, _ y: Tensor, _ rows: Int) throws(NestedError) {
    let depth = w.shape[1], out = w.shape[0]
    let packed: Storage
    if let kept = w.packed { packed = kept } else { packed = try pack(w) }
    let blockRows = Engine.linearBlock, blockPanels = 8
    let panels = (out + 31) / 32
    let across = (panels + blockPanels - 1) / blockPanels
    let down = (rows + blockRows - 1) / blockRows
    let (to, from, weights) = (y.floats, x.floats, packed.floats)
    parallel(across * down, work: rows * depth * out) { task in
      let row = task / across * blockRows
      let panel = task % across * blockPanels
      kernels.linearForward(
        to + row * out, out, from + row * depth, depth, weights, min(blockRows, rows - row), out, depth,
        panel, min(blockPanels, panels - panel))
    }
  }

  /// The same bits for few rows of x, without a copy of the weight: every panel is made, used and forgotten.
  private func panelByPanel(_ x: Tensor, _ w: Tensor, _ y: Tensor, _ rows: Int) throws(NestedError) {
    let depth = w.shape[1], out = w.shape[0]
    let pairs = (out + 63) / 64, lanes = min(16, pairs)  // a single row takes two panels at a time
    let room = try memory.take(lanes * 64 * depth)
    let (to, from, weights) = (y.floats, x.floats, w.floats)
    parallel(lanes, work: rows * depth * out) { lane in
      let packed = room.floats + lane * 64 * depth
      for pair in stride(from: lane, to: pairs, by: lanes) {
        let first = pair * 64, count = min(64, out - first)
        kernels.packTransposed(packed, weights + first * depth, count, depth)
        kernels.linearForward(
          to + first, out, from, depth, packed, rows, count, depth, 0, (count + 31) / 32)
      }
    }
  }

  /// The weight's panels as `linear` reads them.
  package func pack(_ w: Tensor) throws(NestedError) -> Storage {
    let storage = try memory.take(packedCount(w.shape))
    pack(w, into: storage.floats)
    return storage
  }

  package func packedCount(_ shape: Shape) -> Int { (shape[0] + 31) / 32 * 32 * shape[1] }

  package func pack(_ w: Tensor, into packed: Floats) {
    let depth = w.shape[1], out = w.shape[0]
    let from = w.floats
    let group = 128  // rows, whole panels
    parallel((out + group - 1) / group, work: out * depth / 4) { task in
      let row = task * group
      kernels.packTransposed(packed + row * depth, from + row * depth, min(group, out - row), depth)
    }
  }

  private func linearPullback(
    _ x: Tensor, _ w: Tensor, _ dy: Tensor, _ tape: Tape
  ) throws(NestedError) -> [Tensor?] {
    let depth = w.shape[1], out = w.shape[0], rows = x.count / depth
    // A part copies the matrix it shares with the others into panels, so it should not be small.
    let block = rows >= 512 ? 256 : 64
    let group = 64  // rows of w
    let tiled = depth % 16 == 0
    var dx: Tensor? = nil
    if x.slot >= 0 {
      let result = try empty(x.shape)
      let to = result.floats
      multiplyAdds += Double(rows * depth * out)
      parallel((rows + block - 1) / block, work: rows * depth * out) { task in
        let row = task * block, count = min(block, rows - row)
        let (to, from) = (to + row * depth, dy.floats + row * out)
        if tiled {
          kernels.tileGEMM(to, depth, from, out, w.floats, depth, count, depth, out, false)
        } else {
          kernels.gemm(
            false, false, count, depth, out, 1, from, out, w.floats, depth, 0, to, depth)
        }
      }
      dx = result
    }
    if w.slot < 0 { return [dx, nil] }
    if let inputs = tape.inputs(w.slot) {
      for row in 0..<rows { kernels.axpy(inputs, x.floats + row * depth, tape.inputWeight, depth) }
    }
    let (dw, result) = try gradientPlace(w, tape)
    multiplyAdds += Double(rows * depth * out)
    parallel((out + group - 1) / group, work: rows * depth * out) { task in
      let row = task * group, count = min(group, out - row)
      let (to, from) = (dw + row * depth, dy.floats + row)
      if tiled {
        kernels.tileGEMMTransposedA(
          to, depth, from, out, x.floats, depth, count, depth, rows, true)
      } else {
        kernels.gemm(true, false, count, depth, rows, 1, from, out, x.floats, depth, 1, to, depth)
      }
    }
    return [dx, result]
  }
}
