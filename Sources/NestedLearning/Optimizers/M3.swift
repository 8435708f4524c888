import Glibc
package import NestedBase
package import NestedTensor

/// Multi-scale Momentum Muon (paper Algorithm 1): a fast memory of every gradient, and a slow one that shows what it has
/// collected at the end of every f steps only; each is orthogonalised by itself.
///
///     M1 ← a M1 + b g        V ← c V + d g²        M2 ← e M2 + Σ_{the last f} h g        O2 ← NS(M2) every f steps
///     U = (NS(M1) + α O2) / (√V + ε)        w ← w (1 - η λ) - η s U
///
/// `literal`: the algorithm as printed, on every parameter (a vector is one row): a = c = e = 1, b, d, h = β₁, β₂, β₃,
/// s = 1. Nothing decays: M1 is a running sum and 1 / √V falls as in Adagrad, and the first steps are as large as the
/// gradient is small. A reference, not for training.
///
/// Else M1, M2 and V are decaying averages (a, c, e = β₁, β₂, β₃; b, d, h the rest, h also over f; V without its bias) and s
/// gives U the Frobenius norm of an orthogonal matrix, √min(rows, columns), times Muon's scale. For the matrices between
/// hidden layers; the others by AdamW.
///
/// Differences from the print, in both: the index ranges of the sums do not overlap (paper.md 2.9), and M2 collects as it
/// goes, which nobody sees before O2 is taken from it.
package struct M3: Optimizer {
  package let beta1: Double, beta2: Double, beta3: Double
  package let eps: Double
  /// α: the weight of the slow memory.
  package let slowWeight: Double
  /// f
  package let period: Int
  package let literal: Bool

  package init(
    beta1: Double, beta2: Double, beta3: Double, eps: Double, slowWeight: Double, period: Int,
    literal: Bool
  ) {
    self.beta1 = beta1
    self.beta2 = beta2
    self.beta3 = beta3
    self.eps = eps
    self.slowWeight = slowWeight
    self.period = period
    self.literal = literal
  }

  /// AdamW's two are the first.
  package var slots: [String] { ["m", "v", "slow", "slow.direction"] }

  package func takesMatrices(_ form: ParameterForm) -> Bool { literal || form.isHidden }

  package func update(
    _ w: Floats, _ state: Floats, stride: Int, _ g: Floats, count: Int, step: UpdateStep,
    kernels: KernelSet
  ) {
    AdamW(beta1: beta1, beta2: beta2, eps: eps)
      .update(w, state, stride: stride, g, count: count, step: step, kernels: kernels)
  }

  package func matrixScratch(rows: Int, columns: Int) -> Int {
    rows * columns + NewtonSchulz.scratch(rows: rows, columns: columns)
  }

  package func updateMatrix(
    _ w: Floats, _ state: Floats, stride: Int, _ g: Floats, rows: Int, columns: Int,
    step: UpdateStep, bench: Workbench
  ) {
    let count = rows * columns
    let (m, v, slow, direction) = (state, state + stride, state + 2 * stride, state + 3 * stride)
    let u = bench.scratch, room = bench.scratch + count
    let scale = Float(step.gradientScale)
    let begins = (step.number - 1) % period == 0
    let keepM = literal ? 1 : Float(beta1), mixM = Float(literal ? beta1 : 1 - beta1)
    let keepV = literal ? 1 : Float(beta2), mixV = Float(literal ? beta2 : 1 - beta2)
    let keepSlow = literal || !begins ? 1 : Float(beta3)
    let mixSlow = Float(literal ? beta3 : (1 - beta3) / Double(period))
    for i in 0..<count {
      let gradient = scale * g[i]
      m[i] = keepM * m[i] + mixM * gradient
      v[i] = keepV * v[i] + mixV * gradient * gradient
      slow[i] = keepSlow * slow[i] + mixSlow * gradient
      u[i] = m[i]
    }
    NewtonSchulz.orthogonalize(u, rows: rows, columns: columns, room, bench)
    let weight = Float(slowWeight), floor = Float(eps)
    let unbias = literal ? 1 : Float(1 / (1 - pow(beta2, Double(step.number))).squareRoot())
    for i in 0..<count {
      u[i] = (u[i] + weight * direction[i]) / (v[i].squareRoot() * unbias + floor)
    }
    var length = step.learningRate
    if !literal {
      let norm = bench.norm(u, count)
      let wanted = Double(min(rows, columns)).squareRoot() * Muon.scale(rows: rows, columns: columns)
      length *= norm > 0 ? wanted / norm : 0
    }
    let keep = step.keep, rate = Float(-length)
    for i in 0..<count { w[i] = keep * w[i] + rate * u[i] }
    if step.number % period == 0 {
      direction.copy(from: slow, count: count)
      NewtonSchulz.orthogonalize(direction, rows: rows, columns: columns, room, bench)
    }
  }
}
