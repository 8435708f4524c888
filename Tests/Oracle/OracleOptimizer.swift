import Glibc

/// PyTorch's SGD with momentum and AdamW, on named vectors.
package struct OracleOptimizer: Sendable {
  package enum Rule: Sendable {
    case sgd
    case momentum(Double)
    case adamw(beta1: Double, beta2: Double, eps: Double, weightDecay: Double)
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
      switch rule {
      case .sgd:
        for i in p.indices { p[i] -= lr * g[i] }
      case .momentum(let mu):
        var buffer = first[name] ?? [Double](repeating: 0, count: g.count)
        for i in p.indices {
          buffer[i] = steps == 1 ? g[i] : mu * buffer[i] + g[i]
          p[i] -= lr * buffer[i]
        }
        first[name] = buffer
      case .adamw(let beta1, let beta2, let eps, let weightDecay):
        var m = first[name] ?? [Double](repeating: 0, count: g.count)
        var v = second[name] ?? [Double](repeating: 0, count: g.count)
        let bias1 = 1 - pow(beta1, Double(steps))
        let bias2 = 1 - pow(beta2, Double(steps))
        let decay = decays(name) ? weightDecay : 0
        for i in p.indices {
          p[i] -= lr * decay * p[i]
          m[i] = beta1 * m[i] + (1 - beta1) * g[i]
          v[i] = beta2 * v[i] + (1 - beta2) * g[i] * g[i]
          p[i] -= lr * (m[i] / bias1) / ((v[i] / bias2).squareRoot() + eps)
        }
        first[name] = m
        second[name] = v
      }
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
