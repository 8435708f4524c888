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
  /// Factor that makes the layers' summed inputs their mean.
  package var inputScale: Double

  package init(
    number: Int, learningRate: Double, weightDecay: Double = 0, gradientScale: Double = 1,
    inputScale: Double = 1
  ) {
    self.number = number
    self.learningRate = learningRate
    self.weightDecay = weightDecay
    self.gradientScale = gradientScale
    self.inputScale = inputScale
  }

  /// What weight decay leaves of a parameter.
  var keep: Float { Float(1 - learningRate * weightDecay) }
}

/// A parameter as optimizers see it: `matrices` of [rows, columns], one after another (one per head for [H, ·, ·]). A
/// vector is one row.
package struct ParameterForm: Equatable, Sendable {
  package var matrices: Int, rows: Int, columns: Int
  /// A matrix between hidden layers: what `muon` takes. Not embed, input, head, convolutions, learnt tokens and vectors.
  package var isHidden: Bool

  package init(matrices: Int = 1, rows: Int, columns: Int, isHidden: Bool) {
    self.matrices = matrices
    self.rows = rows
    self.columns = columns
    self.isHidden = isHidden
  }

  /// One matrix that a layer may multiply by; its inputs then have `columns` channels.
  package var hasInputs: Bool { isHidden && matrices == 1 }
}

/// An optimizer (SPEC 4) is a pure pair: initial(parameters) → state, update(gradient, state,
/// parameters). The state is data, `slots.count` floats per parameter, held by the caller: `state[s
/// * stride + i]` is slot s of parameter i. Nothing is hidden, so a trainer or a session that saves
/// its floats and step numbers has saved everything.
///
/// The unit of an update is the element, which depends on its own gradient, state and parameter only, so that ranges may
/// be cut anywhere; or, where `takesMatrices` says so, the matrix.
package protocol Optimizer: Sendable {
  /// Names of the state per parameter, in slot order ("m", "v").
  var slots: [String] { get }

  /// The state before the first update. state [slots, stride], written for `count` parameters.
  func initial(_ state: Floats, stride: Int, parameters w: Floats, count: Int)

  /// In place: w and state [slots, stride] of `count` parameters; g is read only.
  func update(
    _ w: Floats, _ state: Floats, stride: Int, _ g: Floats, count: Int, step: UpdateStep,
    kernels: KernelSet)

  /// Whether `updateMatrix` wants the layers' inputs, summed over the batch.
  var readsInputs: Bool { get }

  /// Whether such a parameter is to be updated by whole matrices.
  func takesMatrices(_ form: ParameterForm) -> Bool

  /// Floats of scratch for one matrix.
  func matrixScratch(rows: Int, columns: Int) -> Int

  /// In place: w and state [slots, stride] of one matrix [rows, columns]; g is read only. The bits do not depend on the
  /// bench's threads.
  func updateMatrix(
    _ w: Floats, _ state: Floats, stride: Int, _ g: Floats, rows: Int, columns: Int,
    step: UpdateStep, bench: Workbench)
}

extension Optimizer {
  /// They all start from zero.
  package func initial(_ state: Floats, stride: Int, parameters w: Floats, count: Int) {
    for slot in slots.indices { (state + slot * stride).fill(0, count: count) }
  }

  package var readsInputs: Bool { false }
  package func takesMatrices(_ form: ParameterForm) -> Bool { false }
  package func matrixScratch(rows: Int, columns: Int) -> Int { 0 }

  package func updateMatrix(
    _ w: Floats, _ state: Floats, stride: Int, _ g: Floats, rows: Int, columns: Int,
    step: UpdateStep, bench: Workbench
  ) {
    update(w, state, stride: stride, g, count: rows * columns, step: step, kernels: bench.kernels)
  }
}
