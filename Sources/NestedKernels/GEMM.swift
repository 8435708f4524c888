internal import COpenBLAS
package import NestedBase

/// C[m, n] = alpha op(A)[m, k] op(B)[k, n] + beta C, row-major, by OpenBLAS on the calling thread.
///
/// For training, where rows need not agree bit for bit with other batch sizes. beta = 0 overwrites
/// C even where it holds NaN. Sizes and strides fit 32 bits (the callers' limits are far below).
package func gemm(
  transA: Bool, transB: Bool, m: Int, n: Int, k: Int, alpha: Float, _ a: Floats, _ lda: Int,
  _ b: Floats, _ ldb: Int, beta: Float, _ c: Floats, _ ldc: Int
) {
  if m == 0 || n == 0 { return }
  unsafe cblas_sgemm(
    CblasRowMajor, transA ? CblasTrans : CblasNoTrans, transB ? CblasTrans : CblasNoTrans,
    blasint(truncatingIfNeeded: m), blasint(truncatingIfNeeded: n), blasint(truncatingIfNeeded: k),
    alpha, a.pointer, blasint(truncatingIfNeeded: lda), b.pointer, blasint(truncatingIfNeeded: ldb),
    beta, c.pointer, blasint(truncatingIfNeeded: ldc))
}
