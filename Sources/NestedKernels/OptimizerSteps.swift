package import NestedBase

// Hyperparameters come in Double, because 1 - β₂ in float32 is wrong in the fifth digit already.

/// PyTorch's AdamW, in its order: w ← w (1 - lr λ); m ← m + (1 - β₁)(g - m); v ← β₂ v + (1 - β₂)
/// g²; w ← w - lr / bias₁ · m / (√v / √bias₂ + eps), with g = gradScale · g and bias_i = 1 - β_i^t.
package func adamW(
  _ w: Floats, _ m: Floats, _ v: Floats,  // [n] in place
  _ g: Floats,  // [n]
  _ n: Int, _ lr: Double, _ beta1: Double, _ beta2: Double, _ eps: Double, _ decay: Double,
  _ bias1: Double, _ bias2: Double, _ gradScale: Double
) {
  let keep = splat(Float(1 - lr * decay))
  let mixM = splat(Float(1 - beta1))
  let keepV = splat(Float(beta2))
  let mixV = splat(Float(1 - beta2))
  let rootBias = splat(Float(1 / bias2.squareRoot()))
  let floor = splat(Float(eps))
  let step = splat(Float(-lr / bias1))
  let factor = splat(Float(gradScale))
  var i = 0
  while i < n {
    let count = min(16, n - i)
    let g = g.load(i, count) * factor
    let m0 = m.load(i, count)
    let m1 = fma(g - m0, mixM, m0)
    let v1 = fma(g * g, mixV, v.load(i, count) * keepV)
    let update = m1 / fma(squareRoot16(v1), rootBias, floor)
    m.store(m1, i, count)
    v.store(v1, i, count)
    w.store(fma(update, step, w.load(i, count) * keep), i, count)
    i += 16
  }
}

/// PyTorch's SGD with decoupled decay (SPEC 4): w ← w (1 - lr λ); b ← g at the first step, then μ b
/// + g; w ← w - lr b, or with `nesterov` w - lr (g + μ b). With momentum 0 the buffer is neither read
/// nor written.
package func sgdMomentum(
  _ w: Floats, _ buffer: Floats,  // [n] in place
  _ g: Floats,  // [n]
  _ n: Int, _ lr: Double, _ momentum: Double, _ decay: Double, _ gradScale: Double, _ first: Bool,
  _ nesterov: Bool
) {
  let keep = splat(Float(1 - lr * decay))
  let step = splat(Float(-lr))
  let factor = splat(Float(gradScale))
  let inertia = splat(Float(momentum))
  var i = 0
  while i < n {
    let count = min(16, n - i)
    let g = g.load(i, count) * factor
    var direction = g
    if momentum != 0 {
      if !first { direction = fma(buffer.load(i, count), inertia, direction) }
      buffer.store(direction, i, count)
      if nesterov { direction = fma(direction, inertia, g) }
    }
    w.store(fma(direction, step, w.load(i, count) * keep), i, count)
    i += 16
  }
}

/// PyTorch's Adagrad with decoupled decay: w ← w (1 - lr λ); s ← s + g²; w ← w - lr g / (√s + eps).
package func adagrad(
  _ w: Floats, _ sum: Floats,  // [n] in place
  _ g: Floats,  // [n]
  _ n: Int, _ lr: Double, _ eps: Double, _ decay: Double, _ gradScale: Double
) {
  let keep = splat(Float(1 - lr * decay))
  let step = splat(Float(-lr))
  let factor = splat(Float(gradScale))
  let floor = splat(Float(eps))
  var i = 0
  while i < n {
    let count = min(16, n - i)
    let g = g.load(i, count) * factor
    let s = fma(g, g, sum.load(i, count))
    sum.store(s, i, count)
    w.store(fma(g / (squareRoot16(s) + floor), step, w.load(i, count) * keep), i, count)
    i += 16
  }
}

/// Preconditioned momentum (paper eq 47) with Adam's diagonal: w ← w (1 - lr λ); v ← β₂ v + (1 - β₂) g²;
/// m ← α m - lr g / (√v / √bias₂ + eps); w ← w + m.
package func preconditionedMomentum(
  _ w: Floats, _ m: Floats, _ v: Floats,  // [n] in place
  _ g: Floats,  // [n]
  _ n: Int, _ lr: Double, _ momentum: Double, _ beta2: Double, _ eps: Double, _ decay: Double,
  _ bias2: Double, _ gradScale: Double
) {
  let keep = splat(Float(1 - lr * decay))
  let step = splat(Float(-lr))
  let factor = splat(Float(gradScale))
  let inertia = splat(Float(momentum))
  let keepV = splat(Float(beta2))
  let mixV = splat(Float(1 - beta2))
  let rootBias = splat(Float(1 / bias2.squareRoot()))
  let floor = splat(Float(eps))
  var i = 0
  while i < n {
    let count = min(16, n - i)
    let g = g.load(i, count) * factor
    let v1 = fma(g * g, mixV, v.load(i, count) * keepV)
    let preconditioned = g / fma(squareRoot16(v1), rootBias, floor)
    let m1 = fma(preconditioned, step, m.load(i, count) * inertia)
    m.store(m1, i, count)
    v.store(v1, i, count)
    w.store(fma(w.load(i, count), keep, m1), i, count)
    i += 16
  }
}
