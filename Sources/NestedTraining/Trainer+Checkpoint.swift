package import NestedBase
package import NestedCheckpoint
import NestedLearning
import NestedModels
package import NestedTensor

/// The whole trainer in one safetensors file, without the weights: options, optimizer state, step
/// counts, what has been collected and what slow levels wait with. With the model's file beside it,
/// save → load → continue gives the bits of continuing.
extension Trainer {
  static let identity = FileIdentity("trainer", version: 1)

  /// Names in the file. Flat tensors are in the order of the model's parameters; `pending` holds
  /// the parameters of levels with a period above 0, in that order.
  private enum Key {
    static let fingerprint = "nested.fingerprint"
    static let options = "nested.trainer.options"
    // The layers' inputs, if the optimizer reads them, stand behind both: [I].
    static let gradient = "gradient"  // [N + I], when something has been collected
    static let pending = "pending"  // [P + I]
    static let integers = "counters"  // I64: step, batches, windows drawn, gradient lent
    static let numbers = "sums"  // F64: targets, loss, loss's targets, learning rate override
    static let levelTargets = "levels.targets"  // F64 [levels]
    static let levelSteps = "levels.steps"  // I64 [levels]
    static func slot(_ name: String) -> String { "optimizer." + name }  // [N]
    static func hexadecimal(_ fingerprint: UInt64) -> String { String(fingerprint, radix: 16) }
  }

  package func save(
    to path: FilePath, sync: Bool = true, control: RunControl
  ) throws(NestedError) {
    let count = gradientCount
    let model = Key.hexadecimal(self.model.configuration.fingerprint)
    var writer = SafetensorsWriter(
      Self.identity, metadata: [(Key.fingerprint, model), (Key.options, optionsJSON)])
    for (index, slot) in optimizer.slots.enumerated() {
      try writer.add(Key.slot(slot), shape: [count], state.floats + index * count, count: count)
    }
    if counters.batches > 0 || isGradientLent {
      let all = count + plan.inputCount
      try writer.add(Key.gradient, shape: [all], gradientStorage.floats, count: all)
    }
    let waiting = plan.pendingCount + plan.inputCount
    try writer.add(Key.pending, shape: [waiting], pending.floats, count: waiting)
    let integers = [
      Int64(counters.step), Int64(counters.batches), Int64(bitPattern: counters.drawn),
      isGradientLent ? 1 : 0,
    ]
    let numbers = [
      targets[0], counters.lossSum, counters.lossTargets,
      counters.learningRateOverride,
    ]
    let levels = counters.clock.periods.count
    try writer.add(Key.integers, shape: [integers.count], integers)
    try writer.add(Key.numbers, shape: [numbers.count], numbers)
    try writer.add(Key.levelTargets, shape: [levels], counters.clock.targets)
    try writer.add(Key.levelSteps, shape: [levels], counters.clock.steps.map { Int64($0) })
    try writer.write(to: path, sync: sync) { done, total throws(NestedError) in
      try control.report("save", done, total, .nan)
    }
  }

  /// Replaces options and state by the file's. `mismatch` when it belongs to a model of another
  /// configuration. On failure the trainer is as before.
  package func load(from path: FilePath, control: RunControl) throws(NestedError) {
    try control.report("load", 0, 1, .nan)
    let file = try SafetensorsFile(path: path)
    try file.identify(as: Self.identity)
    guard let fingerprint = file.metadata(Key.fingerprint), let text = file.metadata(Key.options)
    else {
      throw NestedError(.corrupt, "[trainer] the file lacks its metadata", place: "__metadata__")
    }
    guard fingerprint == Key.hexadecimal(model.configuration.fingerprint) else {
      throw NestedError(
        .mismatch, "[trainer] the file belongs to a model of another configuration",
        place: Key.fingerprint)
    }
    try file.verifyChecksum()
    let restored = try Restored(file, text, self)
    try control.report("load", 1, 1, .nan)
    options = restored.options
    plan = restored.plan
    optimizer = restored.optimizer
    counters = restored.counters
    gradientStorage = restored.gradient
    candidateStorage = restored.candidate
    pending = restored.pending
    state = restored.state
    matrixScratch = restored.matrixScratch
    matrixPartials = DoubleBuffer(count: plan.matrices.count)
    isGradientLent = restored.isGradientLent
    targets[0] = restored.targets
  }

  /// What a file holds, checked, before it takes the place of anything.
  private struct Restored {
    let options: TrainerOptions
    let plan: UpdatePlan
    let optimizer: any Optimizer
    var counters: Counters
    let gradient: Storage
    let candidate: Storage
    let pending: Storage
    let state: Storage
    let matrixScratch: Storage
    let isGradientLent: Bool
    let targets: Double

    init(_ file: SafetensorsFile, _ text: String, _ trainer: Trainer) throws(NestedError) {
      let model = trainer.model
      let periods = trainer.counters.clock.periods
      let count = trainer.gradientCount
      let budget = model.runtime.budget
      do throws(NestedError) {
        options = try TrainerOptions(json: Array(text.utf8))
        plan = try UpdatePlan(layout: model.layout, periods: periods, options: options)
      } catch {
        throw NestedError(
          .corrupt, "[trainer] the file's options: " + error.message, place: Key.options)
      }
      optimizer = options.optimizer.make()
      let integers = try file.int64s(Key.integers, atMost: 4)
      let numbers = try file.doubles(Key.numbers, atMost: 4)
      let targets = try file.doubles(Key.levelTargets, atMost: periods.count)
      let steps = try file.int64s(Key.levelSteps, atMost: periods.count)
      let counted = 0...Int64(1) << 53
      guard integers.count == 4, numbers.count == 4, targets.count == periods.count,
        steps.count == periods.count, counted.contains(integers[0]), counted.contains(integers[1]),
        steps.allSatisfy({ counted.contains($0) }), targets.allSatisfy({ $0 >= 0 && $0.isFinite }),
        numbers[0] >= 0, numbers[0].isFinite, numbers[3].isFinite
      else {
        throw NestedError(
          .corrupt, "[trainer] the file's counters are impossible", place: Key.integers)
      }
      counters = Counters(clock: OuterClock(periods: periods))
      counters.step = Int(integers[0])
      counters.batches = Int(integers[1])
      counters.drawn = UInt64(bitPattern: integers[2])
      isGradientLent = integers[3] != 0
      self.targets = numbers[0]
      counters.lossSum = numbers[1]
      counters.lossTargets = numbers[2]
      counters.learningRateOverride = numbers[3]
      counters.clock.targets = targets
      counters.clock.steps = steps.map { Int($0) }
      let all = count + plan.inputCount, waiting = plan.pendingCount + plan.inputCount
      gradient = try Storage(count: all, budget: budget)
      candidate =
        plan.inputCount == trainer.plan.inputCount
        ? trainer.candidateStorage : try Storage(count: all, budget: budget)
      pending = try Storage(count: waiting, budget: budget)
      state = try Storage(count: optimizer.slots.count * count, budget: budget)
      matrixScratch = try Storage(count: plan.scratchCount, budget: budget)
      for (index, slot) in optimizer.slots.enumerated() {
        let record = try file.record(named: Key.slot(slot), shape: [count])
        try file.readFloats(record, into: state.floats + index * count)
      }
      if counters.batches > 0 || isGradientLent {
        try file.readFloats(
          file.record(named: Key.gradient, shape: [all]), into: gradient.floats)
      } else {
        gradient.floats.fill(0, count: all)
      }
      try file.readFloats(
        file.record(named: Key.pending, shape: [waiting]), into: pending.floats)
    }
  }
}
