package import NestedBase

/// w [out, in] → packed [panel][in][32], zero where `out` ends inside a panel.
package func packTransposed(_ packed: Floats, _ w: Floats, out: Int, in depth: Int) {
  var j = 0
  while j < out {
    packPanel(packed + j * depth, w + j * depth, depth, min(32, out - j), depth)
    j += 32
  }
}

/// panel[p, j] = w[j, p] for j < columns, 0 for the rest of the 32; w [columns, depth] with row
/// stride ldw.
func packPanel(_ panel: Floats, _ w: Floats, _ ldw: Int, _ columns: Int, _ depth: Int) {
  pack16(panel, 32, w, ldw, min(16, columns), depth)
  pack16(panel + 16, 32, w + 16 * ldw, ldw, max(0, columns - 16), depth)
}

/// panel[p ld + j] = w[j, p] for j < columns ≤ 16, 0 for the rest of the 16.
func pack16(_ panel: Floats, _ ld: Int, _ w: Floats, _ ldw: Int, _ columns: Int, _ depth: Int) {
  var p = 0
  while p < depth {
    transpose(panel + p * ld, ld, w + p, ldw, columns, min(16, depth - p), width: 16)
    p += 16
  }
}

/// y[p, r] = w[r, p] for r < rows, p < columns, both ≤ 16; of y's rows the first `width` floats are
/// written, zeros from `rows` on.
@inline(__always)
func transpose(
  _ y: Floats, _ ldy: Int, _ w: Floats, _ ldw: Int, _ rows: Int, _ columns: Int, width: Int
) {
  if rows == 16 && columns == 16 && width == 16 {
    wholeSquare(y, ldy, w, ldw)
  } else {
    partOfSquare(y, ldy, w, ldw, rows, columns, width)
  }
}

private func wholeSquare(_ y: Floats, _ ldy: Int, _ w: Floats, _ ldw: Int) {
  var s = Square(w, ldw, 16, 16)
  s.transpose()
  s.store(y, ldy, 16, 16)
}

private func partOfSquare(
  _ y: Floats, _ ldy: Int, _ w: Floats, _ ldw: Int, _ rows: Int, _ columns: Int, _ width: Int
) {
  var s = Square(w, ldw, rows, columns)
  s.transpose()
  s.store(y, ldy, columns, width)
}

/// 16 × 16 floats in registers.
private struct Square {
  var r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, r10, r11, r12, r13, r14, r15: Lanes

  @inline(__always)
  init(_ w: Floats, _ ldw: Int, _ rows: Int, _ columns: Int) {
    @inline(__always)
    func row(_ r: Int) -> Lanes { r < rows ? w.load(r * ldw, columns) : splat(0) }
    r0 = row(0)
    r1 = row(1)
    r2 = row(2)
    r3 = row(3)
    r4 = row(4)
    r5 = row(5)
    r6 = row(6)
    r7 = row(7)
    r8 = row(8)
    r9 = row(9)
    r10 = row(10)
    r11 = row(11)
    r12 = row(12)
    r13 = row(13)
    r14 = row(14)
    r15 = row(15)
  }

  /// Four perfect shuffles: in each, row i and row i + 8 interleave to rows 2 i and 2 i + 1.
  @inline(__always)
  mutating func transpose() {
    shuffle()
    shuffle()
    shuffle()
    shuffle()
  }

  @inline(__always)
  private mutating func shuffle() {
    let old = self
    (r0, r1) = zip(old.r0, old.r8)
    (r2, r3) = zip(old.r1, old.r9)
    (r4, r5) = zip(old.r2, old.r10)
    (r6, r7) = zip(old.r3, old.r11)
    (r8, r9) = zip(old.r4, old.r12)
    (r10, r11) = zip(old.r5, old.r13)
    (r12, r13) = zip(old.r6, old.r14)
    (r14, r15) = zip(old.r7, old.r15)
  }

  @inline(__always)
  func store(_ y: Floats, _ ldy: Int, _ rows: Int, _ width: Int) {
    @inline(__always)
    func put(_ v: Lanes, _ r: Int) { if r < rows { y.store(v, r * ldy, width) } }
    put(r0, 0)
    put(r1, 1)
    put(r2, 2)
    put(r3, 3)
    put(r4, 4)
    put(r5, 5)
    put(r6, 6)
    put(r7, 7)
    put(r8, 8)
    put(r9, 9)
    put(r10, 10)
    put(r11, 11)
    put(r12, 12)
    put(r13, 13)
    put(r14, 14)
    put(r15, 15)
  }
}
