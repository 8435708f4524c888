package import NestedBase
import NestedLearning
package import NestedModels
import NestedTensor

/// What one call to `step` or `apply` did.
package struct StepResult: Equatable, Sendable {
  package enum Skip: Int32, Sendable {
    case none = 0, noTargets = 1, nonFiniteGradient = 2
  }

  /// False when the update was skipped (`skip` says why), or when `step` has only collected its
  /// batch because the option `accumulate` wants more (`skip` is `none`).
  package var applied = false
  package var skip = Skip.none
  /// Optimizer steps so far.
  package var step = 0
  /// Targets behind this update, over all workers.
  package var targets = 0.0
  /// Mean loss over this worker's targets; NaN when there were none.
  package var loss = Double.nan
  /// Norm of the mean gradient of the parameters that were due, before clipping.
  package var gradientNorm = 0.0
  package var updateNorm = 0.0
  package var learningRate = 0.0

  package init() {}
}

/// Outer optimisation of a model's weights: gradient, optimizer, schedule and the levels' outer
/// clock.
///
/// A trainer holds two flat gradients in the order of the layout: `gradient`, the sum over the
/// targets collected since the last update, which its caller may read and write; and `candidate`,
/// in which the next value is built. A call works in the candidate until nothing can fail any more,
/// so a failing or cancelled call leaves everything as it was. A level that is not due at an update
/// moves its part into `pending` and waits there until it is. Everything is allocated at creation.
package final class Trainer {
  /// What a saved trainer restores beside the floats.
  struct Counters: Equatable {
    /// Optimizer steps so far.
    var step = 0
    var clock: OuterClock
    /// Batches, loss and targets collected since the last update.
    var batches = 0
    var lossSum = 0.0
    var lossTargets = 0.0
    /// Windows that `fit` has drawn: the position in the random sequence.
    var drawn: UInt64 = 0
    /// Replaces the schedule's value when 0 or more.
    var learningRateOverride = -1.0
  }

  package let model: Model
  package internal(set) var options: TrainerOptions
  var plan: UpdatePlan
  var optimizer: any Optimizer
  var counters: Counters

  // Behind the gradients, and behind what waits, stand the layers' inputs, if the optimizer reads them: [I].
  var gradientStorage: Storage  // [N + I]
  var candidateStorage: Storage  // [N + I]
  var pending: Storage  // [plan.pendingCount + I]
  var state: Storage  // [slots, N]
  let scratch: Storage  // [lanes, blockSize]
  var matrixScratch: Storage  // [plan.scratchCount]
  /// Σ Δw² of every matrix that is updated as a whole.
  var matrixPartials: DoubleBuffer  // [plan.matrices]
  /// Partial sums by lane, and by clock in a lane: level + 1, 0 = parameters without a level.
  let partials: DoubleBuffer  // [lanes, 1 + levels]
  /// Targets behind `gradient`.
  let targets = DoubleBuffer(count: 1)
  /// The same, on its way through the all-reduce hook.
  let reducedTargets = DoubleBuffer(count: 1)
  /// The gradient has been handed out: it may hold what no batch put there.
  var isGradientLent = false

  /// Called by `step` and `apply`, bucket by bucket in flat order, to replace what it gets by its
  /// sum over all workers; last with the target count.
  package enum Reduction {
    case gradient(Floats, count: Int)
    case targets(DoubleBuffer)
  }
  package var allReduce: ((Reduction) throws(NestedError) -> Void)?
  /// Elements of a bucket; 0 = 1 Mi.
  package var bucketSize = 0
  /// What the last `fit` had finished when it returned or threw.
  package internal(set) var lastFit = FitResult()

  /// Empty options are SPEC 4's defaults. Throws `config` or `parse` for them, `limit` or
  /// `noMemory`.
  package init(model: Model, options json: [UInt8]) throws(NestedError) {
    let options = try TrainerOptions(json: json)
    let periods = model.configuration.levels.map(\.chunk)
    let plan = try UpdatePlan(layout: model.layout, periods: periods, options: options)
    let optimizer = options.optimizer.make()
    let count = model.layout.count
    let budget = model.runtime.budget
    self.model = model
    self.options = options
    self.plan = plan
    self.optimizer = optimizer
    counters = Counters(clock: OuterClock(periods: periods))
    gradientStorage = try Storage(count: count + plan.inputCount, budget: budget)
    candidateStorage = try Storage(count: count + plan.inputCount, budget: budget)
    pending = try Storage(count: plan.pendingCount + plan.inputCount, budget: budget)
    state = try Storage(count: optimizer.slots.count * count, budget: budget)
    scratch = try Storage(count: UpdatePlan.lanes * UpdatePlan.blockSize, budget: budget)
    matrixScratch = try Storage(count: plan.scratchCount, budget: budget)
    matrixPartials = DoubleBuffer(count: plan.matrices.count)
    partials = DoubleBuffer(count: UpdatePlan.lanes * (1 + periods.count))
    if !model.runtime.computes { return }
    pending.floats.fill(0, count: plan.pendingCount + plan.inputCount)
    zero()
    model.withWeights { (w: Floats) in
      optimizer.initial(state.floats, stride: count, parameters: w, count: count)
    }
  }

  /// Elements of the flat gradient.
  package var gradientCount: Int { model.layout.count }

  /// Σ over targets of d loss / dW since the last update, writable until the next call. [N]
  package var gradient: Floats {
    isGradientLent = true
    return gradientStorage.floats
  }

  /// Targets behind the gradient, writable like it.
  package var targetCount: DoubleBuffer {
    isGradientLent = true
    return targets
  }

  package var optionsJSON: String { options.canonicalJSON }

  /// The learning rate of the next update before the groups' overrides.
  package var learningRate: Double {
    counters.learningRateOverride >= 0
      ? counters.learningRateOverride : options.lr * options.schedule.factor(after: counters.step)
  }

  /// Overrides the schedule; groups keep their ratio to the base rate. Negative returns to the
  /// schedule.
  package func setLearningRate(_ value: Double) throws(NestedError) {
    guard value.isFinite else {
      throw NestedError(.range, "[trainer] the learning rate must be finite", place: "lr")
    }
    counters.learningRateOverride = value < 0 ? -1 : value
  }

  /// Forgets what has been collected since the last update. What slow levels wait with stays.
  package func zero() {
    forEachBlock { (block, _) in
      (self.gradientStorage.floats + block.offset).fill(0, count: block.count)
    }
    (gradientStorage.floats + gradientCount).fill(0, count: plan.inputCount)
    targets[0] = 0
    counters.batches = 0
    counters.lossSum = 0
    counters.lossTargets = 0
    isGradientLent = false
  }

  /// Runs `body(block, lane)` for every block of the plan on the context's threads.
  func forEachBlock(_ body: (UpdatePlan.Block, Int) -> Void) {
    let blocks = plan.blocks
    model.runtime.threads.parallel(UpdatePlan.lanes) { lane in
      for index in stride(from: lane, to: blocks.count, by: UpdatePlan.lanes) {
        body(blocks[index], lane)
      }
    }
  }
}
