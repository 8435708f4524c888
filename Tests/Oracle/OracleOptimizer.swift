import Glibc

/// The optimizers of SPEC 4, on named vectors and matrices, by plain loops.
package struct OracleOptimizer: Sendable {
  package enum Rule: Sendable {
    case sgd
    case momentum(Double)
    case nesterov(Double)
    case adagrad(eps: Double)
    case adamw(beta1: Double, beta2: Double, eps: Double, weightDecay: Double)
    case preconditioned(alpha: Double, beta2: Double, eps: Double)
  }
  package let rule: Rule
  package var steps = 0
  private var first: [String: [Double]] = [:]
  private var second: [String: [Double]] = [:]

  package init(_ rule: Rule) { self.rule = rule }

  /// One step on all of `gradients`; `decays` says where weight decay applies.
  package mutating func step(
    _ parameters: inout [String: [Double]], _ gradients: [String: [Double]], lr: Double,
    decays: (String) -> Bool
  ) {
    steps += 1
    for (name, g) in gradients {
      var p = parameters[name]!
      let zeros = [Double](repeating: 0, count: g.count)
      var a = first[name] ?? zeros
      var b = second[name] ?? zeros
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
        let bias1 = 1 - pow(beta1, Double(steps))
        let bias2 = 1 - pow(beta2, Double(steps))
        let decay = decays(name) ? weightDecay : 0
        for i in p.indices {
          p[i] -= lr * decay * p[i]
          a[i] = beta1 * a[i] + (1 - beta1) * g[i]
          b[i] = beta2 * b[i] + (1 - beta2) * g[i] * g[i]
          p[i] -= lr * (a[i] / bias1) / ((b[i] / bias2).squareRoot() + eps)
        }
      case .preconditioned(let alpha, let beta2, let eps):
        let bias2 = 1 - pow(beta2, Double(steps))
        for i in p.indices {
          b[i] = beta2 * b[i] + (1 - beta2) * g[i] * g[i]
          a[i] = alpha * a[i] - lr * g[i] / ((b[i] / bias2).squareRoot() + eps)
          p[i] += a[i]
        }
      }
      first[name] = a
      second[name] = b
      parameters[name] = p
    }
  }
}

/// √Σ x² over all vectors.
package func globalNorm(_ gradients: [String: [Double]]) -> Double {
  gradients.values.reduce(0) { $1.reduce($0) { $0 + $1 * $1 } }.squareRoot()
}

/// SPEC 4: two or more dimensions, except embed, conv and the memories' initial states.
package func weightDecayApplies(_ name: String, _ shape: [Int]) -> Bool {
  shape.count >= 2 && name != "embed.weight" && !name.hasSuffix("_conv.weight")
    && !name.contains(".memory.")
}
