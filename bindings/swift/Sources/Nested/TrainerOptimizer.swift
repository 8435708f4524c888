extension Trainer.Options {
  /// The update rule, one case for each name that the library knows. Weight decay is decoupled for
  /// all of them.
  public enum Optimizer: Hashable, Sendable {
    /// Gradient descent.
    case sgd
    /// Gradient descent with a decaying buffer.
    case momentum(Double = 0.9)
    /// The same, looking ahead by one step of the buffer.
    case nesterov(Double = 0.9)
    /// Each parameter's rate falls with the sum of its squared gradients.
    case adagrad(epsilon: Double = 1e-8)
    /// Two moments.
    case adam(beta1: Double = 0.9, beta2: Double = 0.95, epsilon: Double = 1e-8)
    /// Two moments: Adam with decoupled weight decay.
    case adamW(beta1: Double = 0.9, beta2: Double = 0.95, epsilon: Double = 1e-8)
    /// Matrices take the orthogonalised buffer, all others Adam's two moments.
    case muon(
      Double = 0.9, beta1: Double = 0.9, beta2: Double = 0.95, epsilon: Double = 1e-8)
    /// Delta gradient descent: a layer forgets along its input before it learns from it.
    case dgd
    /// A buffer that learns by the delta rule.
    case deltaMomentum(Double = 0.9)
    /// A buffer that is a small network.
    case dmgd(Double = 0.9)
    /// A buffer of gradients scaled by the second moment.
    case preconditionedMomentum(
      Double = 0.9, beta2: Double = 0.95, epsilon: Double = 1e-8)
    /// Multi-scale momentum Muon: a fast memory, and a slow one that adds what it has seen over its
    /// period.
    case m3(
      beta1: Double = 0.9, beta2: Double = 0.95, epsilon: Double = 1e-8, slow: Slow = Slow())
    /// The same to the letter of the paper's algorithm: sums instead of means.
    case m3Literal(
      beta1: Double = 0.9, beta2: Double = 0.95, epsilon: Double = 1e-8, slow: Slow = Slow())
  }

  /// The slow memory of ``Optimizer/m3(beta1:beta2:epsilon:slow:)``.
  public struct Slow: Hashable, Sendable {
    /// Decay; 0.9.
    public var beta: Double
    /// Weight beside the fast memory; 1.
    public var weight: Double
    /// Optimizer steps between two looks; 100.
    public var period: Int

    /// The library's defaults.
    public init(beta: Double = 0.9, weight: Double = 1, period: Int = 100) {
      self.beta = beta
      self.weight = weight
      self.period = period
    }
  }
}

extension Trainer.Options.Optimizer {
  /// The members of the options that it sets.
  var members: [(key: String, value: JSON)] {
    switch self {
    case .sgd: named("sgd")
    case .momentum(let decay): named("momentum", momentum: decay)
    case .nesterov(let decay): named("nesterov", momentum: decay)
    case .adagrad(let epsilon): named("adagrad", epsilon: epsilon)
    case .adam(let beta1, let beta2, let epsilon): named("adam", (beta1, beta2), epsilon)
    case .adamW(let beta1, let beta2, let epsilon): named("adamw", (beta1, beta2), epsilon)
    case .muon(let decay, let beta1, let beta2, let epsilon):
      named("muon", (beta1, beta2), epsilon, momentum: decay)
    case .dgd: named("dgd")
    case .deltaMomentum(let decay): named("delta-momentum", momentum: decay)
    case .dmgd(let decay): named("dmgd", momentum: decay)
    case .preconditionedMomentum(let decay, let beta2, let epsilon):
      // The rule reads the second of the two numbers; the first is the default.
      named("preconditioned-momentum", (0.9, beta2), epsilon, momentum: decay)
    case .m3(let beta1, let beta2, let epsilon, let slow):
      named("m3", (beta1, beta2), epsilon, slow: slow)
    case .m3Literal(let beta1, let beta2, let epsilon, let slow):
      named("m3-literal", (beta1, beta2), epsilon, slow: slow)
    }
  }

  private func named(
    _ name: String, _ betas: (Double, Double)? = nil, _ epsilon: Double? = nil,
    momentum: Double? = nil, slow: Trainer.Options.Slow? = nil
  ) -> [(key: String, value: JSON)] {
    let all: [(String, JSON?)] = [
      ("optimizer", .string(name)),
      ("betas", betas.map { [.number($0.0), .number($0.1)] }), ("eps", epsilon.map(JSON.number)),
      ("momentum", momentum.map(JSON.number)),
      (
        "slow",
        slow.map {
          ["beta": .number($0.beta), "weight": .number($0.weight), "period": .integer($0.period)]
        }
      ),
    ]
    return all.compactMap { key, value in value.map { (key, $0) } }
  }

  private func named(_ name: String, epsilon: Double) -> [(key: String, value: JSON)] {
    named(name, nil, epsilon)
  }
}
