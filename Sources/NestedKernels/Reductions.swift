package import NestedBase

// Sums in a fixed order: lane j of accumulator a takes the elements 64 b + 16 a + j, block after
// block; then a fixed tree. The order depends on n alone.

/// Four accumulators of 16 lanes: enough to hide the latency of an add.
private struct Accumulators {
  var s0 = Lanes.zero, s1 = Lanes.zero, s2 = Lanes.zero, s3 = Lanes.zero
  @inline(__always) var total: Float { laneSum((s0 + s1) + (s2 + s3)) }
}

/// Σ a[i] b[i]
func dot(_ a: Floats, _ b: Floats, _ n: Int) -> Float {
  var s = Accumulators()
  var i = 0
  while i + 64 <= n {
    s.s0.addProduct(a.load16(i), b.load16(i))
    s.s1.addProduct(a.load16(i + 16), b.load16(i + 16))
    s.s2.addProduct(a.load16(i + 32), b.load16(i + 32))
    s.s3.addProduct(a.load16(i + 48), b.load16(i + 48))
    i += 64
  }
  while i + 16 <= n {
    s.s0.addProduct(a.load16(i), b.load16(i))
    i += 16
  }
  if i < n { s.s0.addProduct(a.loadPart(i, n - i), b.loadPart(i, n - i)) }
  return s.total
}

/// Σ a[i]² in Double: exact squares, so gradients as large as float32 holds do not overflow.
package func sumOfSquares(_ a: Floats, _ n: Int) -> Double {
  var low = SIMD8<Double>.zero
  var high = SIMD8<Double>.zero
  var i = 0
  while i < n {
    let v = i + 16 <= n ? a.load16(i) : a.loadPart(i, n - i)
    let x = SIMD8<Double>(v.lowHalf)
    let y = SIMD8<Double>(v.highHalf)
    low.addProduct(x, x)
    high.addProduct(y, y)
    i += 16
  }
  let eight = low + high
  let four = eight.lowHalf + eight.highHalf
  let two = four.lowHalf + four.highHalf
  return two.x + two.y
}

/// True where no element is NaN or infinite: 0 · a[i] is 0 exactly then.
package func allFinite(_ a: Floats, _ n: Int) -> Bool {
  var s = Accumulators()
  let zero = Lanes.zero
  var i = 0
  while i + 64 <= n {
    s.s0.addProduct(a.load16(i), zero)
    s.s1.addProduct(a.load16(i + 16), zero)
    s.s2.addProduct(a.load16(i + 32), zero)
    s.s3.addProduct(a.load16(i + 48), zero)
    i += 64
  }
  while i + 16 <= n {
    s.s0.addProduct(a.load16(i), zero)
    i += 16
  }
  if i < n { s.s0.addProduct(a.loadPart(i, n - i), zero) }
  return s.total == 0
}

/// The largest element; -inf for n = 0. NaN elements may be passed over.
@inline(__always)
func largest(_ a: Floats, _ n: Int) -> Float {
  var m = splat(-.infinity)
  var i = 0
  while i + 16 <= n {
    let v = a.load16(i)
    m = ifLess(m, v, v, m)
    i += 16
  }
  var result = laneMax(m)
  while i < n {
    if a[i] > result { result = a[i] }
    i += 1
  }
  return result
}
