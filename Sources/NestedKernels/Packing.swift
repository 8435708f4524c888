package import NestedBase

/// Floats that `packTransposed` writes for a weight [out, in].
package func packedSize(out: Int, in depth: Int) -> Int { (out + 31) / 32 * 32 * depth }

/// w [out, in] → packed [panel][in][32], zero where `out` ends inside a panel.
package func packTransposed(_ packed: Floats, _ w: Floats, out: Int, in depth: Int) {
  var j = 0
  while j < out {
    packPanel(packed + j * depth, w + j * depth, depth, min(32, out - j), depth)
    j += 32
  }
}

/// panel[p, j] = w[j, p] for j < columns, 0 for the rest of the 32; w [columns, depth] with row stride ldw.
func packPanel(_ panel: Floats, _ w: Floats, _ ldw: Int, _ columns: Int, _ depth: Int) {
  let whole = depth & ~15
  var j = 0
  while j < 32 {
    let rows = max(0, min(16, columns - j))
    if rows == 16 {
      var p = 0
      while p < whole {
        transposeSquare(panel + p * 32 + j, 32, w + j * ldw + p, ldw)
        p += 16
      }
    }
    for p in (rows == 16 ? whole : 0)..<depth {
      for r in 0..<rows { panel[p * 32 + j + r] = w[(j + r) * ldw + p] }
      for r in rows..<16 { panel[p * 32 + j + r] = 0 }
    }
    j += 16
  }
}

/// y[p, r] = w[r, p] for 16 × 16 floats: four perfect shuffles, in each of which row i and row i + 8
/// interleave to rows 2 i and 2 i + 1.
@inline(__always)
private func transposeSquare(_ y: Floats, _ ldy: Int, _ w: Floats, _ ldw: Int) {
  var s = Square(w, ldw)
  s.shuffle()
  s.shuffle()
  s.shuffle()
  s.shuffle()
  s.store(y, ldy)
}

private struct Square {
  var r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, r10, r11, r12, r13, r14, r15: Lanes

  @inline(__always)
  init(_ w: Floats, _ ldw: Int) {
    r0 = w.load16(0)
    r1 = w.load16(ldw)
    r2 = w.load16(2 * ldw)
    r3 = w.load16(3 * ldw)
    r4 = w.load16(4 * ldw)
    r5 = w.load16(5 * ldw)
    r6 = w.load16(6 * ldw)
    r7 = w.load16(7 * ldw)
    r8 = w.load16(8 * ldw)
    r9 = w.load16(9 * ldw)
    r10 = w.load16(10 * ldw)
    r11 = w.load16(11 * ldw)
    r12 = w.load16(12 * ldw)
    r13 = w.load16(13 * ldw)
    r14 = w.load16(14 * ldw)
    r15 = w.load16(15 * ldw)
  }

  @inline(__always)
  mutating func shuffle() {
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
  func store(_ y: Floats, _ ldy: Int) {
    y.store16(r0, 0)
    y.store16(r1, ldy)
    y.store16(r2, 2 * ldy)
    y.store16(r3, 3 * ldy)
    y.store16(r4, 4 * ldy)
    y.store16(r5, 5 * ldy)
    y.store16(r6, 6 * ldy)
    y.store16(r7, 7 * ldy)
    y.store16(r8, 8 * ldy)
    y.store16(r9, 9 * ldy)
    y.store16(r10, 10 * ldy)
    y.store16(r11, 11 * ldy)
    y.store16(r12, 12 * ldy)
    y.store16(r13, 13 * ldy)
    y.store16(r14, 14 * ldy)
    y.store16(r15, 15 * ldy)
  }
}
