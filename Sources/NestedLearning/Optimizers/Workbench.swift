package import NestedBase
package import NestedTensor

/// What the update of a whole matrix works with: kernels, room, and threads if the caller has any to spare.
package struct Workbench {
  package let kernels: KernelSet
  package let threads: ThreadPool?
  package let scratch: Floats
  /// Σ of the inputs that were multiplied by the matrix, [columns], where the optimizer asks for them.
  package let inputs: Floats?

  package init(kernels: KernelSet, threads: ThreadPool?, scratch: Floats, inputs: Floats? = nil) {
    self.kernels = kernels
    self.threads = threads
    self.scratch = scratch
    self.inputs = inputs
  }

  /// C[m, n] = α op(A)[m, k] op(B)[k, n] + β C, all dense. Cut at fixed rows of C, so that threads change no bit.
  func multiply(
    _ c: Floats, _ a: Floats, transA: Bool = false, _ b: Floats, transB: Bool = false, _ m: Int,
    _ n: Int, _ k: Int, alpha: Float = 1, beta: Float = 0
  ) {
    let block = 64
    let parts = (m + block - 1) / block
    func body(_ part: Int) {
      let row = part * block
      kernels.gemm(
        transA, transB, min(block, m - row), n, k, alpha, a + (transA ? row : row * k),
        transA ? m : k, b, transB ? k : n, beta, c + row * n, n)
    }
    if let threads, parts > 1, m * n * k >= 200_000 {
      threads.parallel(parts, body)
    } else {
      for part in 0..<parts { body(part) }
    }
  }

  /// ‖x‖ of `count` floats.
  func norm(_ x: Floats, _ count: Int) -> Double { kernels.sumOfSquares(x, count).squareRoot() }
}
