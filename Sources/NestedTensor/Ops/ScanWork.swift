internal import NestedBase

extension ScanSpec {
  /// Multiply-adds of a token of one head, as the chunked kernels make them: products with the weights at a chunk's start,
  /// and with the rows that the chunk has written before (half a chunk, on average).
  var products: (forward: Int, backward: Int) {
    var forward = 0, backward = 0
    for index in 0..<unitCount {
      let unit = self.unit(index), isRead = index == unitCount - 1
      let (inner, outer) = (unit.inner.matrix, unit.outer.matrix)
      // Read once: as the memory, or to make k, v, η, α and q. Backward: dx and dW, an mlp's hidden layer again.
      forward += inner + outer
      backward += 2 * (inner + outer) + (isMLP && !isRead ? inner : 0)
      if unit.adapted == 0 { continue }
      for (weight, delta) in [(unit.inner, self.delta), (unit.outer, outerDelta)] where weight.n > 0 {
        // W k, W v and the chunk's end; backward: what the end and the rows after it hand back, to and through W_c.
        let states = weight.momentum ? 2 : 1
        forward += weight.matrix * (2 + states)
        backward += weight.matrix * 4 * states
        let before = (weight.chunk - 1) / 2 * states
        let reads = (delta ? 1 : 0) + (isRead && readsToken ? 1 : 0)
        forward += reads * before * (weight.n + weight.m)
        backward += reads * before * (3 * weight.n + 2 * weight.m)
      }
      if isMLP {
        forward += outer  // the gradient at the hidden layer
        backward += 6 * inner + 5 * outer  // through it, and through W k and W v once more
      }
    }
    return (forward, backward)
  }
}
