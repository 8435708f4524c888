package import NestedBase
package import NestedTensor

/// One update: what it needs to know beside gradient, state and parameters. A value, the same for
/// all blocks of a run of parameters.
package struct UpdateStep: Equatable, Sendable {
  /// Number of this update, from 1; of the level's own updates where parameters belong to a level.
  package var number: Int
  package var learningRate: Double
  /// Decoupled: w ← w (1 - lr · decay) before the update. 0 where SPEC 4 exempts a parameter.
  package var weightDecay: Double
  /// Factor on the gradient before anything else: clipping, and sum → mean.
  package var gradientScale: Double

  package init(
    number: Int, learningRate: Double, weightDecay: Double = 0, gradientScale: Double = 1
  ) {
    self.number = number
    self.learningRate = learningRate
    self.weightDecay = weightDecay
    self.gradientScale = gradientScale
  }
}

/// An optimizer (SPEC 4) is a pure pair: initial(parameters) → state, update(gradient, state,
/// parameters). The state is data, `slots.count` floats per parameter, held by the caller: `state[s
/// * stride + i]` is slot s of parameter i. Nothing is hidden, so a trainer or a session that saves
/// its floats and step numbers has saved everything. Each element depends on its own gradient,
/// state and parameter only: ranges may be cut anywhere.
package protocol Optimizer: Sendable {
  /// Names of the state per parameter, in slot order ("m", "v").
  var slots: [String] { get }

  /// The state before the first update. state [slots, stride], written for `count` parameters.
  func initial(_ state: Floats, stride: Int, parameters w: Floats, count: Int)

  /// In place: w and state [slots, stride] of `count` parameters; g is read only.
  func update(
    _ w: Floats, _ state: Floats, stride: Int, _ g: Floats, count: Int, step: UpdateStep,
    kernels: KernelSet)
}

extension Optimizer {
  /// They all start from zero.
  package func initial(_ state: Floats, stride: Int, parameters w: Floats, count: Int) {
    for slot in slots.indices { (state + slot * stride).fill(0, count: count) }
  }
}

/// The named optimizers, and the numbers of all of them. PyTorch's defaults; the trainer brings its
/// own (SPEC 4).
package struct OptimizerSettings: Equatable, Sendable {
  package enum Name: String, CaseIterable, Sendable {
    case sgd, momentum, nesterov, adagrad, adam, adamw
    case preconditionedMomentum = "preconditioned-momentum"
  }

  package var name: Name
  /// β₁ and β₂ of `adam` and `adamw`; β₂ of `preconditioned-momentum`.
  package var beta1: Double
  package var beta2: Double
  /// Beside the root of the second moment.
  package var eps: Double
  /// μ of `momentum` and `nesterov`, α of `preconditioned-momentum`.
  package var momentum: Double

  package init(
    _ name: Name, beta1: Double = 0.9, beta2: Double = 0.999, eps: Double? = nil,
    momentum: Double = 0.9
  ) {
    self.name = name
    self.beta1 = beta1
    self.beta2 = beta2
    self.eps = eps ?? (name == .adagrad ? 1e-10 : 1e-8)
    self.momentum = momentum
  }

  package func make() -> any Optimizer {
    switch name {
    case .sgd: SGD()
    case .momentum: Momentum(momentum: momentum)
    case .nesterov: Momentum(momentum: momentum, nesterov: true)
    case .adagrad: Adagrad(eps: eps)
    case .adam, .adamw: AdamW(beta1: beta1, beta2: beta2, eps: eps)
    case .preconditionedMomentum:
      PreconditionedMomentum(momentum: momentum, beta2: beta2, eps: eps)
    }
  }
}
