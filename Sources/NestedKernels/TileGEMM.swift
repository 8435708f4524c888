package import NestedBase

/// Steps of k in one packed block: 128 × 32 floats are half of a small L1 cache.
let blockDepth = 128

/// C[m, n] (+)= A[m, k] B[k, n]; n is a multiple of 16.
///
/// Row-invariant: each element is one fma chain over k from 0 (or from C). Reads and writes exactly
/// the matrices; C may not overlap A or B. k = 0 writes zeros (or leaves C). Large products pack B
/// a block at a time.
package func tileGEMM(
  _ c: Floats, _ ldc: Int, _ a: Floats, _ lda: Int, _ b: Floats, _ ldb: Int,
  _ m: Int, _ n: Int, _ k: Int, accumulate: Bool
) {
  product(c, ldc, a, lda, 1, b, ldb, m, n, k, accumulate)
}

/// C[m, n] (+)= A[k, m]ᵀ B[k, n]; n is a multiple of 16. As `tileGEMM`, row-invariant too.
package func tileGEMMTransposedA(
  _ c: Floats, _ ldc: Int, _ a: Floats, _ lda: Int, _ b: Floats, _ ldb: Int,
  _ m: Int, _ n: Int, _ k: Int, accumulate: Bool
) {
  product(c, ldc, a, 1, lda, b, ldb, m, n, k, accumulate)
}

/// C[m, n] (+)= A[m, k] B[n, k]ᵀ for any m, n, k; row-invariant as well. Transposes a block of the
/// smaller side at a time: of B, or, for about one tile of rows, of A and of C, which holds C[·, j]
/// = A B[j]ᵀ for 16 rows of B.
package func tileGEMMTransposedB(
  _ c: Floats, _ ldc: Int, _ a: Floats, _ lda: Int, _ b: Floats, _ ldb: Int,
  _ m: Int, _ n: Int, _ k: Int, accumulate: Bool
) {
  if k == 0 {
    if !accumulate { for i in 0..<m { (c + i * ldc).fill(0, count: n) } }
    return
  }
  if m >= 8 && m <= 16 && n >= 32 {
    fewRows(c, ldc, a, lda, b, ldb, m, n, k, accumulate)
    return
  }
  withPanel { panel in
    var j = 0
    while j < n {
      let columns = min(32, n - j)
      var p = 0
      while p < k {
        let depth = min(blockDepth, k - p)
        packPanel(panel, b + j * ldb + p, ldb, columns, depth)
        panelColumns(
          c + j, ldc, columns, a + p, lda, 1, panel, m, depth, accumulate || p > 0)
        p += depth
      }
      j += 32
    }
  }
}

/// Cᵀ[n, 16] = B[n, k] Aᵀ[k, 16] with m ≤ 16 real columns.
private func fewRows(
  _ c: Floats, _ ldc: Int, _ a: Floats, _ lda: Int, _ b: Floats, _ ldb: Int,
  _ m: Int, _ n: Int, _ k: Int, _ accumulate: Bool
) {
  // Aᵀ [144, 16] and a tile [16, 16] of Cᵀ
  var buffer = InlineArray<160, Lanes>(repeating: splat(0))
  unsafe withUnsafeMutableBytes(of: &buffer) { bytes in
    let panel = unsafe Floats(
      bytes.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: Float.self))
    let tile = panel + 144 * 16
    var p = 0
    while p < k {
      let depth = min(144, k - p)
      let more = accumulate || p > 0
      pack16(panel, 16, a + p, lda, m, depth)
      var j = 0
      while j < n {
        let rows = min(16, n - j)
        if more { transpose(tile, 16, c + j, ldc, m, rows, width: 16) }
        columns16(tile, 16, b + j * ldb + p, ldb, 1, panel, 16, rows, depth, more)
        transpose(c + j, ldc, tile, 16, rows, m, width: rows)
        j += 16
      }
      p += depth
    }
  }
}

private func product(
  _ c: Floats, _ ldc: Int, _ a: Floats, _ aRow: Int, _ aStep: Int, _ b: Floats, _ ldb: Int,
  _ m: Int, _ n: Int, _ k: Int, _ accumulate: Bool
) {
  if m >= 48 && k * n > 8192 {
    packedProduct(c, ldc, a, aRow, aStep, b, ldb, m, n, k, accumulate)
    return
  }
  var j = 0
  while j + 32 <= n {
    columns32(c + j, ldc, a, aRow, aStep, b + j, ldb, m, k, accumulate)
    j += 32
  }
  if j < n {
    columns16(c + j, ldc, a, aRow, aStep, b + j, ldb, m, k, accumulate)
  }
}

/// B does not stay in L1 by itself, and its rows may fall on few cache sets: copy 128 × 32 of it at
/// a time.
private func packedProduct(
  _ c: Floats, _ ldc: Int, _ a: Floats, _ aRow: Int, _ aStep: Int, _ b: Floats, _ ldb: Int,
  _ m: Int, _ n: Int, _ k: Int, _ accumulate: Bool
) {
  withPanel { panel in
    var p = 0
    while p < k {
      let depth = min(blockDepth, k - p)
      let more = accumulate || p > 0
      let rows = a + p * aStep
      var j = 0
      while j < n {
        let source = b + p * ldb + j
        let wide = j + 32 <= n
        for q in 0..<depth {
          panel.store16(source.load16(q * ldb), q * 32)
          if wide { panel.store16(source.load16(q * ldb + 16), q * 32 + 16) }
        }
        if wide {
          columns32(c + j, ldc, rows, aRow, aStep, panel, 32, m, depth, more)
        } else {
          columns16(c + j, ldc, rows, aRow, aStep, panel, 32, m, depth, more)
        }
        j += 32
      }
      p += depth
    }
  }
}

/// A panel of `blockDepth` × 32 floats on the stack (16 KiB).
@inline(__always)
private func withPanel(_ body: (Floats) -> Void) {
  var buffer = InlineArray<256, Lanes>(repeating: .zero)
  unsafe withUnsafeMutableBytes(of: &buffer) { bytes in
    body(unsafe Floats(bytes.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: Float.self)))
  }
}
