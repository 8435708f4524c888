package import NestedBase

// Activations and their gradients. Every dx is written (=), never added to; a gradient may stand in
// dy's place.

/// y = σ(x)
package func sigmoidForward(_ y: Floats, _ x: Floats, _ n: Int) {
  mapLanes(y, x, n, sigmoid16)
}

/// y = x σ(x)
package func siluForward(_ y: Floats, _ x: Floats, _ n: Int) {
  mapLanes(y, x, n, silu16)
}

/// gelu(x) = ½ x (1 + tanh u) = x σ(2u), 2u = x (a + b x²) with a = 2 √(2/π), b = 0.044715 a.
private let geluLinear: Float = 1.595_769_121_605_730_7
private let geluCubic: Float = 0.071_354_816_272_600_25

/// y = gelu(x), the tanh form
package func geluForward(_ y: Floats, _ x: Floats, _ n: Int) {
  @inline(__always)
  func gelu(_ x: Lanes) -> Lanes {
    x / (splat(1) + exp16(-(x * fma(x * x, splat(geluCubic), splat(geluLinear)))))
  }
  mapLanes(y, x, n, gelu)
}

/// dx = dy (σ + x σ (1 - σ) · 2u'), 2u' = a + 3 b x²
package func geluBackward(_ dx: Floats, _ dy: Floats, _ x: Floats, _ n: Int) {
  @inline(__always)
  func gradient(_ dy: Lanes, _ x: Lanes) -> Lanes {
    let square = x * x
    let s = sigmoid16(x * fma(square, splat(geluCubic), splat(geluLinear)))
    let slope = fma(square, splat(3 * geluCubic), splat(geluLinear))
    return dy * (s * fma(x * slope, splat(1) - s, splat(1)))
  }
  mapLanes(dx, dy, x, n, gradient)
}

/// y = silu(gate) ⊙ up
package func swigluForward(_ y: Floats, _ gate: Floats, _ up: Floats, _ n: Int) {
  @inline(__always)
  func product(_ gate: Lanes, _ up: Lanes) -> Lanes { silu16(gate) * up }
  mapLanes(y, gate, up, n, product)
}

/// dGate = dy ⊙ up ⊙ silu'(gate), dUp = dy ⊙ silu(gate)
package func swigluBackward(
  _ dGate: Floats, _ dUp: Floats, _ dy: Floats, _ gate: Floats, _ up: Floats, _ n: Int
) {
  var i = 0
  while i < n {
    let count = min(16, n - i)
    let dy = dy.load(i, count)
    let up = up.load(i, count)
    let z = gate.load(i, count)
    let s = sigmoid16(z)
    dGate.store(dy * up * (s * fma(z, splat(1) - s, splat(1))), i, count)
    dUp.store(dy * (z * s), i, count)
    i += 16
  }
}

/// x = x gelu''(a) + y, with gelu'' = σ (1 - σ) (2 s + a ((1 - 2σ) s² + 6 b a)), s = 2u'. Beyond ±16 it is 0.
func geluCurvature(_ x: Floats, _ a: Floats, _ y: Floats, _ n: Int) {
  var i = 0
  while i < n {
    let count = min(16, n - i)
    var a = a.load(i, count)
    a = ifLess(splat(16), a, splat(16), a)  // squares of larger ones could overflow
    a = ifLess(a, splat(-16), splat(-16), a)
    let square = a * a
    let s = sigmoid16(a * fma(square, splat(geluCubic), splat(geluLinear)))
    let slope = fma(square, splat(3 * geluCubic), splat(geluLinear))
    let inner = fma(splat(1) - s - s, slope * slope, splat(6 * geluCubic) * a)
    let curvature = s * (splat(1) - s) * fma(a, inner, slope + slope)
    x.store(fma(x.load(i, count), curvature, y.load(i, count)), i, count)
    i += 16
  }
}

/// x ← tanh(x) = 1 - 2 / (1 + e^2x). The absolute error is a rounding of 1.
package func tanhInPlace(_ x: Floats, _ n: Int) {
  var i = 0
  while i < n {
    let count = min(16, n - i)
    let v = x.load(i, count)
    x.store(splat(1) - splat(2) / (splat(1) + exp16(v + v)), i, count)
    i += 16
  }
}
