package import NestedBase

// One value in, one value out. Results (=) may stand where an argument stands; otherwise nothing
// overlaps.

// `f` is called at one place only, and is a named @inline(__always) function unless tiny: else the
// compiler makes it a function and calls it for every 16 floats.

/// y[i] = f(x[i])
@inline(__always)
func mapLanes(_ y: Floats, _ x: Floats, _ n: Int, _ f: (Lanes) -> Lanes) {
  var i = 0
  while i < n {
    let count = min(16, n - i)
    y.store(f(x.load(i, count)), i, count)
    i += 16
  }
}

/// y[i] = f(a[i], b[i])
@inline(__always)
func mapLanes(_ y: Floats, _ a: Floats, _ b: Floats, _ n: Int, _ f: (Lanes, Lanes) -> Lanes) {
  var i = 0
  while i < n {
    let count = min(16, n - i)
    y.store(f(a.load(i, count), b.load(i, count)), i, count)
    i += 16
  }
}

/// y = a + b
package func add(_ y: Floats, _ a: Floats, _ b: Floats, _ n: Int) {
  mapLanes(y, a, b, n) { $0 + $1 }
}

/// y += s a
package func axpy(_ y: Floats, _ a: Floats, _ s: Float, _ n: Int) {
  mapLanes(y, a, y, n) { fma($0, splat(s), $1) }
}
