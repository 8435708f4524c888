/// The named optimizers, and the numbers of all of them. PyTorch's defaults; the trainer brings its
/// own (SPEC 4).
package struct OptimizerSettings: Equatable, Sendable {
  package enum Name: String, CaseIterable, Sendable {
    case sgd, momentum, nesterov, adagrad, adam, adamw
    case muon, dgd
    case deltaMomentum = "delta-momentum"
    case dmgd
    case preconditionedMomentum = "preconditioned-momentum"
    case m3
    case m3Literal = "m3-literal"

    /// Whether steps are linear in the gradients.
    package var isLinear: Bool { self == .sgd || self == .momentum || self == .nesterov }
  }

  package var name: Name
  /// β₁ and β₂ of `adam`, `adamw`, both `m3` and what `muon` leaves to AdamW; β₂ of `preconditioned-momentum`.
  package var beta1: Double
  package var beta2: Double
  /// Beside the root of the second moment.
  package var eps: Double
  /// μ of `momentum`, `nesterov` and `muon`, α of the paper's momenta (eqs 47 to 50).
  package var momentum: Double
  /// β₃, α and f of `m3`: decay, weight and steps of the slow memory. The paper prints no values; these are those of
  /// public implementations.
  package var slowBeta = 0.9
  package var slowWeight = 1.0
  package var slowPeriod = 100

  package init(
    _ name: Name, beta1: Double = 0.9, beta2: Double = 0.999, eps: Double? = nil,
    momentum: Double? = nil
  ) {
    self.name = name
    self.beta1 = beta1
    self.beta2 = beta2
    self.eps = eps ?? (name == .adagrad ? 1e-10 : 1e-8)
    self.momentum = momentum ?? (name == .muon ? 0.95 : 0.9)
  }

  package func make() -> any Optimizer {
    switch name {
    case .sgd: SGD()
    case .momentum: Momentum(momentum: momentum)
    case .nesterov: Momentum(momentum: momentum, nesterov: true)
    case .adagrad: Adagrad(eps: eps)
    case .adam, .adamw: AdamW(beta1: beta1, beta2: beta2, eps: eps)
    case .muon:
      Muon(momentum: momentum, others: AdamW(beta1: beta1, beta2: beta2, eps: eps))
    case .dgd: DGD()
    case .deltaMomentum: DeltaMomentum(momentum: momentum)
    case .dmgd: DeepMomentum(momentum: momentum)
    case .m3, .m3Literal:
      M3(
        beta1: beta1, beta2: beta2, beta3: slowBeta, eps: eps, slowWeight: slowWeight,
        period: slowPeriod, literal: name == .m3Literal)
    case .preconditionedMomentum:
      PreconditionedMomentum(momentum: momentum, beta2: beta2, eps: eps)
    }
  }
}
