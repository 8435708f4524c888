import Glibc

/// The optimizers of SPEC 4, on named vectors and matrices, by plain loops.
package struct OracleOptimizer: Sendable {
  package struct M3Numbers: Sendable {
    package var beta1: Double, beta2: Double, beta3: Double
    package var alpha: Double
    package var period: Int
    package var eps: Double
    package init(
      beta1: Double = 0.9, beta2: Double = 0.999, beta3: Double = 0.9, alpha: Double = 1,
      period: Int = 100, eps: Double = 1e-8
    ) {
      (self.beta1, self.beta2, self.beta3) = (beta1, beta2, beta3)
      (self.alpha, self.period, self.eps) = (alpha, period, eps)
    }
  }

  package enum Rule: Sendable {
    case sgd
    case momentum(Double)
    case nesterov(Double)
    case adagrad(eps: Double)
    case adamw(beta1: Double, beta2: Double, eps: Double, weightDecay: Double)
    case preconditioned(alpha: Double, beta2: Double, eps: Double)
    case muon(momentum: Double, beta1: Double, beta2: Double, eps: Double)
    case deltaMomentum(Double)
    case deepMomentum(Double)
    case m3(M3Numbers)
    case m3Literal(M3Numbers)
  }
  package let rule: Rule
  package let shapes: [String: [Int]]
  package var steps = 0
  private var first: [String: [Double]] = [:]
  private var second: [String: [Double]] = [:]
  private var matrices: [String: [OracleMatrixState]] = [:]

  /// `shapes` tell matrices from vectors; what has none is a vector.
  package init(_ rule: Rule, shapes: [String: [Int]] = [:]) {
    self.rule = rule
    self.shapes = shapes
  }

  /// One step on all of `gradients`; `decays` says where weight decay applies.
  package mutating func step(
    _ parameters: inout [String: [Double]], _ gradients: [String: [Double]], lr: Double,
    decays: (String) -> Bool
  ) {
    steps += 1
    for (name, g) in gradients {
      let p = parameters[name]!
      parameters[name] =
        takesMatrix(name) ? byMatrix(name, p, g, lr) : byElement(name, p, g, lr, decays(name))
    }
  }

  private func takesMatrix(_ name: String) -> Bool {
    let hidden = isHiddenMatrix(name, shapes[name] ?? [])
    switch rule {
    case .muon, .m3, .deepMomentum: return hidden
    case .deltaMomentum, .m3Literal: return true
    default: return false
    }
  }

  private mutating func byMatrix(_ name: String, _ p: [Double], _ g: [Double], _ lr: Double) -> [Double] {
    let shape = shapes[name] ?? [g.count]
    let columns = shape[shape.count - 1]
    let rows = shape.count > 1 ? shape[shape.count - 2] : 1
    let size = rows * columns
    var states = matrices[name]
      ?? [OracleMatrixState](repeating: OracleMatrixState(rows, columns), count: g.count / size)
    var out: [Double] = []
    for i in states.indices {
      let range = i * size..<(i + 1) * size
      var w = OracleMatrix(rows, columns, Array(p[range]))
      let gradient = OracleMatrix(rows, columns, Array(g[range]))
      switch rule {
      case .muon(let momentum, _, _, _): states[i].muon(&w, gradient, momentum: momentum, lr: lr)
      case .deltaMomentum(let alpha): states[i].deltaMomentum(&w, gradient, alpha: alpha, lr: lr)
      case .deepMomentum(let alpha): states[i].deepMomentum(&w, gradient, alpha: alpha, lr: lr)
      case .m3(let numbers): states[i].m3(&w, gradient, numbers, step: steps, lr: lr)
      case .m3Literal(let numbers): states[i].m3Literal(&w, gradient, numbers, step: steps, lr: lr)
      default: preconditionFailure()
      }
      out += w.values
    }
    matrices[name] = states
    return out
  }

  private mutating func byElement(
    _ name: String, _ before: [Double], _ g: [Double], _ lr: Double, _ decays: Bool
  ) -> [Double] {
    var p = before
    let zeros = [Double](repeating: 0, count: g.count)
    var a = first[name] ?? zeros
    var b = second[name] ?? zeros
    func adam(_ beta1: Double, _ beta2: Double, _ eps: Double, _ decay: Double) {
      let bias1 = 1 - pow(beta1, Double(steps))
      let bias2 = 1 - pow(beta2, Double(steps))
      for i in p.indices {
        p[i] -= lr * decay * p[i]
        a[i] = beta1 * a[i] + (1 - beta1) * g[i]
        b[i] = beta2 * b[i] + (1 - beta2) * g[i] * g[i]
        p[i] -= lr * (a[i] / bias1) / ((b[i] / bias2).squareRoot() + eps)
      }
    }
    switch rule {
    case .sgd:
      for i in p.indices { p[i] -= lr * g[i] }
    case .momentum(let mu):
      for i in p.indices {
        a[i] = steps == 1 ? g[i] : mu * a[i] + g[i]
        p[i] -= lr * a[i]
      }
    case .nesterov(let mu):
      for i in p.indices {
        a[i] = mu * a[i] + g[i]
        p[i] -= lr * (g[i] + mu * a[i])
      }
    case .adagrad(let eps):
      for i in p.indices {
        a[i] += g[i] * g[i]
        p[i] -= lr * g[i] / (a[i].squareRoot() + eps)
      }
    case .adamw(let beta1, let beta2, let eps, let weightDecay):
      adam(beta1, beta2, eps, decays ? weightDecay : 0)
    case .muon(_, let beta1, let beta2, let eps): adam(beta1, beta2, eps, 0)
    case .m3(let n): adam(n.beta1, n.beta2, n.eps, 0)
    case .preconditioned(let alpha, let beta2, let eps):
      let bias2 = 1 - pow(beta2, Double(steps))
      for i in p.indices {
        b[i] = beta2 * b[i] + (1 - beta2) * g[i] * g[i]
        a[i] = alpha * a[i] - lr * g[i] / ((b[i] / bias2).squareRoot() + eps)
        p[i] += a[i]
      }
    case .deepMomentum(let alpha):
      for i in p.indices {
        a[i] = alpha * a[i] + (1 - alpha) * g[i]
        p[i] -= lr * a[i]
      }
    case .deltaMomentum, .m3Literal: preconditionFailure()
    }
    first[name] = a
    second[name] = b
    return p
  }
}

/// √Σ x² over all vectors.
package func globalNorm(_ gradients: [String: [Double]]) -> Double {
  gradients.values.reduce(0) { $1.reduce($0) { $0 + $1 * $1 } }.squareRoot()
}

/// SPEC 4: two or more dimensions, except embed, conv and the memories' initial states; learnt tokens are as embed.
package func weightDecayApplies(_ name: String, _ shape: [Int]) -> Bool {
  shape.count >= 2 && name != "embed.weight" && !name.hasSuffix("_conv.weight")
    && !name.contains(".memory.") && !name.contains(".persistent_")
}

/// SPEC 4, muon: matrices, but embed, head and conv; an input layer and learnt tokens are as embed.
package func isHiddenMatrix(_ name: String, _ shape: [Int]) -> Bool {
  shape.count >= 2 && !["embed.weight", "input.weight", "head.weight"].contains(name)
    && !name.hasSuffix("_conv.weight") && !name.contains(".persistent_")
}
