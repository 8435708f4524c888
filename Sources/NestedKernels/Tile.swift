internal import CNestedShims
internal import NestedBase

// The register tiles of every matrix product: C[rows, 16 or 32] (+)= A[rows, k] B[k, 16 or 32].
//
// Outer-product form: the loop runs over k; each step loads one row of B and adds a[i, p] b[p, ·]
// to each row. So every element is one chain fma(a[k-1], b[k-1], … fma(a[0], b[0], 0 or C)),
// whatever the tile it falls in.

/// True where one `Lanes` is one register: 32 zmm registers hold 8 × 32 accumulators, 16 ymm ones 6
/// × 16. A constant of the compilation, so the other branch is not in the code.
@inline(__always)
var wideRegisters: Bool { NESTED_KERNELS_ZMM == 1 }

/// Accumulators of some rows × 16 columns.
protocol RowBlock {
  static var rows: Int { get }
  init()
  init(_ c: Floats, _ ldc: Int)
  /// row[i] += a[i aRow] * b
  mutating func add(_ a: Floats, _ aRow: Int, _ b: Lanes)
  func store(_ c: Floats, _ ldc: Int)
}

struct Row: RowBlock {
  var lanes: Lanes
  @inline(__always) static var rows: Int { 1 }
  @inline(__always) init() { lanes = .zero }
  @inline(__always) init(_ c: Floats, _ ldc: Int) { lanes = c.load16(0) }
  @inline(__always) mutating func add(_ a: Floats, _ aRow: Int, _ b: Lanes) {
    lanes.addProduct(splat(a[0]), b)
  }
  @inline(__always) func store(_ c: Floats, _ ldc: Int) { c.store16(lanes, 0) }
}

struct Stack<Top: RowBlock, Bottom: RowBlock>: RowBlock {
  var top: Top
  var bottom: Bottom
  @inline(__always) static var rows: Int { Top.rows + Bottom.rows }
  @inline(__always) init() {
    top = Top()
    bottom = Bottom()
  }
  @inline(__always) init(_ c: Floats, _ ldc: Int) {
    top = Top(c, ldc)
    bottom = Bottom(c + Top.rows * ldc, ldc)
  }
  @inline(__always) mutating func add(_ a: Floats, _ aRow: Int, _ b: Lanes) {
    top.add(a, aRow, b)
    bottom.add(a + Top.rows * aRow, aRow, b)
  }
  @inline(__always) func store(_ c: Floats, _ ldc: Int) {
    top.store(c, ldc)
    bottom.store(c + Top.rows * ldc, ldc)
  }
}

typealias Rows2 = Stack<Row, Row>
typealias Rows3 = Stack<Rows2, Row>
typealias Rows4 = Stack<Rows2, Rows2>
typealias Rows5 = Stack<Rows4, Row>
typealias Rows6 = Stack<Rows4, Rows2>
typealias Rows7 = Stack<Rows4, Rows3>
typealias Rows8 = Stack<Rows4, Rows4>

/// C[rows, 16] (+)= A B; a[i, p] stands at i aRow + p aStep.
@inline(__always)
func tile16<R: RowBlock>(
  _: R.Type, _ c: Floats, _ ldc: Int, _ a: Floats, _ aRow: Int, _ aStep: Int, _ b: Floats,
  _ ldb: Int,
  _ k: Int, _ accumulate: Bool
) {
  var sum = accumulate ? R(c, ldc) : R()
  var p = 0
  while p < k {
    sum.add(a + p * aStep, aRow, b.load16(p * ldb))
    p += 1
  }
  sum.store(c, ldc)
}

/// The same for 32 columns, left and right 16.
@inline(__always)
func tile32<R: RowBlock>(
  _: R.Type, _ c: Floats, _ ldc: Int, _ a: Floats, _ aRow: Int, _ aStep: Int, _ b: Floats,
  _ ldb: Int,
  _ k: Int, _ accumulate: Bool
) {
  var left = accumulate ? R(c, ldc) : R()
  var right = accumulate ? R(c + 16, ldc) : R()
  var p = 0
  while p < k {
    let step = a + p * aStep
    left.add(step, aRow, b.load16(p * ldb))
    right.add(step, aRow, b.load16(p * ldb + 16))
    p += 1
  }
  left.store(c, ldc)
  right.store(c + 16, ldc)
}

/// C[m, 16] (+)= A[m, k] B[k, 16]
func columns16(
  _ c: Floats, _ ldc: Int, _ a: Floats, _ aRow: Int, _ aStep: Int, _ b: Floats, _ ldb: Int,
  _ m: Int, _ k: Int, _ accumulate: Bool
) {
  @inline(__always)
  func tile<R: RowBlock>(_ rows: R.Type, _ i: Int) {
    tile16(rows, c + i * ldc, ldc, a + i * aRow, aRow, aStep, b, ldb, k, accumulate)
  }
  var i = 0
  if wideRegisters {
    while i + 8 <= m {
      tile(Rows8.self, i)
      i += 8
    }
  } else {
    while i + 6 <= m {
      tile(Rows6.self, i)
      i += 6
    }
  }
  switch m - i {
  case 1: tile(Row.self, i)
  case 2: tile(Rows2.self, i)
  case 3: tile(Rows3.self, i)
  case 4: tile(Rows4.self, i)
  case 5: tile(Rows5.self, i)
  case 6: tile(Rows6.self, i)
  case 7: tile(Rows7.self, i)
  default: break
  }
}

/// C[m, 32] (+)= A[m, k] B[k, 32]
func columns32(
  _ c: Floats, _ ldc: Int, _ a: Floats, _ aRow: Int, _ aStep: Int, _ b: Floats, _ ldb: Int,
  _ m: Int, _ k: Int, _ accumulate: Bool
) {
  @inline(__always)
  func tile<R: RowBlock>(_ rows: R.Type, _ i: Int) {
    tile32(rows, c + i * ldc, ldc, a + i * aRow, aRow, aStep, b, ldb, k, accumulate)
  }
  var i = 0
  if wideRegisters {
    while i + 8 <= m {
      tile(Rows8.self, i)
      i += 8
    }
    switch m - i {
    case 4: tile(Rows4.self, i)
    case 5: tile(Rows5.self, i)
    case 6: tile(Rows6.self, i)
    case 7: tile(Rows7.self, i)
    default: break
    }
    if m - i >= 4 { return }
  } else {
    // Halves of 16 columns while there are 3 rows or more; 2 × 32 fit the registers.
    i = m % 6 < 3 ? m - m % 6 : m
    if i > 0 {
      columns16(c, ldc, a, aRow, aStep, b, ldb, i, k, accumulate)
      columns16(c + 16, ldc, a, aRow, aStep, b + 16, ldb, i, k, accumulate)
    }
  }
  switch m - i {
  case 1: tile(Row.self, i)
  case 2: tile(Rows2.self, i)
  case 3: tile(Rows3.self, i)
  default: break
  }
}

/// One panel of 32 columns of which only the first `columns` are real: whole panels and halves go
/// straight to C, others through a tile on the stack.
func panelColumns(
  _ c: Floats, _ ldc: Int, _ columns: Int, _ a: Floats, _ aRow: Int, _ aStep: Int, _ panel: Floats,
  _ m: Int, _ k: Int, _ accumulate: Bool
) {
  if columns == 32 {
    columns32(c, ldc, a, aRow, aStep, panel, 32, m, k, accumulate)
    return
  }
  if columns == 16 {
    columns16(c, ldc, a, aRow, aStep, panel, 32, m, k, accumulate)
    return
  }
  var buffer = InlineArray<16, Lanes>(repeating: .zero)
  unsafe withUnsafeMutableBytes(of: &buffer) { bytes in
    let tile = unsafe Floats(
      bytes.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: Float.self))
    var i = 0
    while i < m {
      let rows = min(8, m - i)
      if accumulate {
        for r in 0..<rows { (tile + r * 32).copy(from: c + (i + r) * ldc, count: columns) }
      }
      columns32(tile, 32, a + i * aRow, aRow, aStep, panel, 32, rows, k, accumulate)
      for r in 0..<rows { (c + (i + r) * ldc).copy(from: tile + r * 32, count: columns) }
      i += 8
    }
  }
}
