import NestedBase
import NestedLearning
import NestedModels
import NestedTensor
import Testing

@testable import NestedTraining

@Suite struct TrainerTests {
  private let plain =
    #"{"optimizer": "sgd", "lr": 0.05, "weight_decay": 0, "clip": 0, "schedule": {"type": "constant"}}"#

  @Test func thePlanCoversEveryParameterOnce() throws {
    let model = try Tiny.model()
    let trainer = try Trainer(model, "")
    var seen = [Int](repeating: 0, count: model.layout.count)
    for block in trainer.plan.blocks {
      for i in block.offset..<block.offset + block.count { seen[i] += 1 }
      let run = trainer.plan.runs[block.run]
      #expect(block.offset >= run.offset && block.offset + block.count <= run.offset + run.count)
    }
    #expect(seen.allSatisfy { $0 == 1 })
    // Waiting room for the levels with a period, and only for those.
    let slow = model.layout.entries.filter { $0.level >= 0 && Tiny.periods[$0.level] > 0 }
    #expect(trainer.plan.pendingCount == slow.reduce(0) { $0 + $1.count })
  }

  @Test func aStepLowersTheLossOfItsBatch() throws {
    let trainer = try Trainer(Tiny.model(), #"{"lr": 0.01, "schedule": {"type": "constant"}}"#)
    let rows = Rows(Tiny.text(60), batch: 4)
    let first = try trainer.step(rows)
    for _ in 0..<20 { _ = try trainer.step(rows) }
    let last = try trainer.step(rows)
    #expect(first.applied && first.step == 1 && first.targets == 56)
    #expect(last.step == 22)
    #expect(last.loss < 0.9 * first.loss)
    #expect(first.gradientNorm > 0 && first.updateNorm > 0)
  }

  @Test func twoBatchesCollectedAreOneBatchOfBoth() throws {
    let text = Tiny.text(60)
    let both = try Trainer(Tiny.model(), plain)
    let parts = try Trainer(Tiny.model(), plain)
    try both.collect(Rows(text, batch: 4))
    try parts.collect(Rows(Array(text[..<30]), batch: 2))
    try parts.collect(Rows(Array(text[30...]), batch: 2))
    #expect(parts.targetCount[0] == both.targetCount[0])
    let count = both.gradientCount
    #expect(
      relativeError(parts.gradientStorage.values(count), both.gradientStorage.values(count)) < 1e-6)
    let (a, b) = (try parts.apply(control: quiet), try both.apply(control: quiet))
    #expect(a.applied && b.applied && a.targets == b.targets)
    #expect(abs(a.loss - b.loss) < 1e-6 * b.loss)
    #expect(relativeError(try parts.model.weights, try both.model.weights) < 1e-6)
  }

  @Test func theOptionAccumulateCollectsAcrossSteps() throws {
    let text = Tiny.text(60)
    let options = plain.dropLast() + #", "accumulate": 3}"#
    let steps = try Trainer(Tiny.model(), String(options))
    let pieces = try Trainer(Tiny.model(), plain)
    for part in 0..<3 {
      let rows = Rows(Array(text[part * 20..<part * 20 + 20]), batch: 2)
      let before = try steps.model.weights
      let result = try steps.step(rows)
      #expect(result.applied == (part == 2))
      #expect(result.skip == .none)
      #expect(result.step == (part == 2 ? 1 : 0))
      if part < 2 { #expect(try steps.model.weights == before) }
      try pieces.collect(rows)
    }
    _ = try pieces.apply(control: quiet)
    #expect(try steps.everything == pieces.everything)
  }

  /// Every level, every batch, against the rules written out in Double: a level moves when its
  /// targets reach its period, by the mean over all of them, and Adam counts the level's own steps.
  @Test(arguments: ["sgd", "adamw"])
  func levelsStepAtTheirPeriodsWithTheMeanOverTheirTargets(optimizer: String) throws {
    let model = try Tiny.model()
    let adam = optimizer == "adamw"
    let lr = adam ? 0.01 : 0.05
    let options = """
      {"optimizer": "\(optimizer)", "lr": \(lr), "weight_decay": 0, "clip": 0, "eps": 1e-4,
       "schedule": {"type": "constant"}}
      """
    let trainer = try Trainer(model, options)
    var clock = OuterClock(periods: Tiny.periods)
    let count = model.layout.count
    var sums = [Double](repeating: 0, count: count)
    var m = sums
    var v = sums
    let levelOf = model.layout.entries.flatMap { [Int](repeating: $0.level, count: $0.count) }
    for batch in 0..<24 {
      let before = try model.weights
      try trainer.collect(Rows(Tiny.text(14, seed: UInt64(batch)), batch: 2))  // 12 targets
      let gradient = trainer.gradientStorage.values(count)
      #expect(trainer.targets[0] == 12)
      let due = (0..<3).map { clock.isDue($0, adding: 12) }
      let targets = (0..<3).map { clock.targets[$0] + 12 }
      #expect(try trainer.apply(control: quiet).applied)
      clock.advance(by: 12)
      #expect(trainer.counters.clock == clock)
      let after = try model.weights
      var expected = before
      for i in 0..<count {
        let level = levelOf[i]
        sums[i] += Double(gradient[i])
        if level >= 0 && !due[level] {
          #expect(after[i] == before[i])
          continue
        }
        let g = sums[i] / (level < 0 ? 12 : targets[level])
        let t = Double(level < 0 ? batch + 1 : clock.steps[level])
        sums[i] = 0
        m[i] = 0.9 * m[i] + 0.1 * g
        v[i] = 0.95 * v[i] + 0.05 * g * g
        let bias = (1 - power(0.9, t), (1 - power(0.95, t)).squareRoot())
        let direction = adam ? m[i] / bias.0 / (v[i].squareRoot() / bias.1 + 1e-4) : g
        expected[i] = Float(Double(before[i]) - lr * direction)
      }
      #expect(relativeError(after, expected) < (adam ? 1e-5 : 1e-6))
    }
    #expect(clock.steps == [24, 6, 24])  // 12 ≥ 8 each time; 48 ≥ 40 each fourth; always
  }

  @Test func clippingTakesOneNormOverWhatStepsNow() throws {
    let trainer = try Trainer(
      Tiny.model(),
      #"{"optimizer": "sgd", "lr": 1, "weight_decay": 0, "clip": 0.01, "schedule": {"type": "constant"}}"#
    )
    let result = try trainer.step(Rows(Tiny.text(14), batch: 2))
    #expect(result.gradientNorm > 0.01)
    // SGD at rate 1 moves by the clipped gradient itself.
    #expect(abs(result.updateNorm - 0.01) < 1e-5)
    let unclipped = try Trainer(Tiny.model(), plain)
    let other = try unclipped.step(Rows(Tiny.text(14), batch: 2))
    #expect(other.gradientNorm == result.gradientNorm)
    #expect(abs(other.updateNorm - 0.05 * other.gradientNorm) < 1e-5 * other.gradientNorm)
  }

  @Test(arguments: OptimizerSettings.Name.allCases)
  func aNonFiniteGradientSkipsTheStepAndSaysSo(optimizer: OptimizerSettings.Name) throws {
    let model = try Tiny.model()
    let trainer = try Trainer(
      model, #"{"optimizer": "\#(optimizer.rawValue)", "schedule": {"type": "constant"}}"#)
    _ = try trainer.step(Rows(Tiny.text(14), batch: 2))
    let before = try trainer.everything
    let version = model.version
    for (bad, place) in [(Float.nan, 3), (.infinity, trainer.gradientCount - 1), (-.infinity, 700)]
    {
      try trainer.collect(Rows(Tiny.text(14, seed: 2), batch: 2))
      trainer.gradient[place] = bad
      let result = try trainer.apply(control: quiet)
      #expect(!result.applied && result.skip == .nonFiniteGradient && result.step == 1)
      #expect(try trainer.everything == before)
      #expect(model.version == version)
    }
    // A level that is not due must not collect it either.
    let slow = try #require(model.layout.entries.first { $0.level == 1 })
    #expect(!trainer.counters.clock.isDue(1, adding: 12))
    try trainer.collect(Rows(Tiny.text(14, seed: 2), batch: 2))
    trainer.gradient[slow.offset] = .nan
    #expect(try trainer.apply(control: quiet).skip == .nonFiniteGradient)
    #expect(try trainer.everything == before)
    #expect(try trainer.step(Rows(Tiny.text(14, seed: 3), batch: 2)).applied)
  }

  @Test func aBatchWithoutTargetsIsSkipped() throws {
    let trainer = try Trainer(Tiny.model(), "")
    let before = try trainer.everything
    let rows = Rows(Tiny.text(14), targets: [Int32](repeating: -100, count: 14), batch: 2)
    let result = try trainer.step(rows)
    #expect(
      !result.applied && result.skip == .noTargets && result.targets == 0 && result.loss.isNaN)
    #expect(try trainer.apply(control: quiet).skip == .noTargets)
    #expect(try trainer.everything == before)
  }

  @Test func cancellingInsideAStepLeavesEverythingAsItWas() throws {
    let trainer = try Trainer(Tiny.model(), #"{"accumulate": 2}"#)
    _ = try trainer.step(Rows(Tiny.text(14), batch: 2))
    let before = try trainer.everything
    let stop = RunControl { (_, _, _, _) throws(NestedError) in
      throw NestedError(.cancelled, "stop")
    }
    let error = #expect(throws: NestedError.self) {
      _ = try trainer.step(Rows(Tiny.text(14, seed: 3), batch: 2), stop)
    }
    #expect(error?.code == .cancelled)
    #expect(try trainer.everything == before)
    #expect(throws: NestedError.self) { _ = try trainer.apply(control: stop) }
    #expect(try trainer.everything == before)
    #expect(try trainer.step(Rows(Tiny.text(14, seed: 3), batch: 2)).applied)
  }

  @Test func zeroForgetsWhatWasCollected() throws {
    let trainer = try Trainer(Tiny.model(), "")
    let before = try trainer.everything
    try trainer.collect(Rows(Tiny.text(14), batch: 2))
    #expect(try trainer.everything != before)
    trainer.zero()
    #expect(try trainer.everything == before)
  }

  @Test func allReduceSeesFlatBucketsThenTheTargets() throws {
    let alone = try Trainer(Tiny.model(), "")
    let hooked = try Trainer(Tiny.model(), "")
    var calls: [Int] = []
    hooked.bucketSize = 1000
    // Two equal workers: twice the sum, twice the targets, the same mean.
    hooked.allReduce = { (part) throws(NestedError) in
      switch part {
      case .gradient(let values, let count):
        calls.append(count)
        for i in 0..<count { values[i] *= 2 }
      case .targets(let cell):
        calls.append(-1)
        cell[0] *= 2
      }
    }
    for seed in 0..<6 {
      calls = []
      let rows = Rows(Tiny.text(14, seed: UInt64(seed)), batch: 2)
      let result = try hooked.step(rows)
      #expect(calls.last == -1)
      #expect(calls.dropLast().reduce(0, +) == hooked.gradientCount)
      #expect(calls.dropLast(2).allSatisfy { $0 == 1000 })
      #expect(result.targets == 24)
      // Level clocks count the targets of all workers.
      _ = try alone.step(
        Rows(Tiny.text(14, seed: UInt64(seed)) + Tiny.text(14, seed: UInt64(seed)), batch: 4))
    }
    #expect(hooked.counters.clock == alone.counters.clock)
    #expect(relativeError(try hooked.model.weights, try alone.model.weights) < 1e-5)
  }

  @Test func aFailingHookLeavesEverythingAsItWas() throws {
    let trainer = try Trainer(Tiny.model(), #"{"accumulate": 2}"#)
    _ = try trainer.step(Rows(Tiny.text(14), batch: 2))
    let before = try trainer.everything
    trainer.allReduce = { (part) throws(NestedError) in
      if case .gradient(let values, let count) = part {
        for i in 0..<count { values[i] = 77 }
      } else {
        throw NestedError(.callback, "no", callbackCode: -3)
      }
    }
    let error = #expect(throws: NestedError.self) {
      _ = try trainer.step(Rows(Tiny.text(14, seed: 3), batch: 2))
    }
    #expect(error?.callbackCode == -3)
    #expect(try trainer.everything == before)
    #expect(throws: NestedError.self) { _ = try trainer.apply(control: quiet) }
    #expect(try trainer.everything == before)
    trainer.allReduce = nil
    #expect(try trainer.apply(control: quiet).applied)
  }

  @Test(arguments: OptimizerSettings.Name.allCases)
  func numbersOfThreadsGiveTheSameBits(optimizer: OptimizerSettings.Name) throws {
    var results: [[UInt32]] = []
    for threads in [1, 2, 5] {
      let trainer = try Trainer(
        Tiny.model(threads: threads),
        #"{"optimizer": "\#(optimizer.rawValue)", "clip": 0.1, "slow": {"period": 2}, "schedule": {"type": "constant"}}"#)
      for seed in 0..<5 { _ = try trainer.step(Rows(Tiny.text(44, seed: UInt64(seed)), batch: 4)) }
      results.append(try trainer.everything)
    }
    #expect(results[0] == results[1])
    #expect(results[0] == results[2])
  }

  @Test func learningRateFollowsTheScheduleUntilItIsOverridden() throws {
    let trainer = try Trainer(
      Tiny.model(), #"{"lr": 0.01, "schedule": {"type": "warmup", "warmup": 4}}"#)
    let rows = Rows(Tiny.text(14), batch: 2)
    #expect(try trainer.step(rows).learningRate == 0.0025)
    #expect(try trainer.step(rows).learningRate == 0.005)
    try trainer.setLearningRate(0)
    let before = try trainer.model.weights
    #expect(try trainer.step(rows).learningRate == 0)
    #expect(try trainer.model.weights == before)
    try trainer.setLearningRate(-1)
    #expect(try trainer.step(rows).learningRate == 0.01)
    #expect(throws: NestedError.self) { try trainer.setLearningRate(.nan) }
  }

  @Test func groupsSetRatesByName() throws {
    let model = try Tiny.model()
    let trainer = try Trainer(
      model,
      #"{"groups": [{"pattern": "blocks.*", "lr": 0}, {"pattern": "blocks.1.mixer.*", "lr": 0.003}], "schedule": {"type": "constant"}}"#
    )
    let before = try model.weights
    _ = try trainer.step(Rows(Tiny.text(14), batch: 2))
    let after = try model.weights
    for entry in model.layout.entries {
      let moves = !entry.name.hasPrefix("blocks.") || entry.name.hasPrefix("blocks.1.mixer.")
      let range = entry.offset..<entry.offset + entry.count
      if !moves { #expect(before[range] == after[range], "\(entry.name)") }
      if entry.name == "norm.weight" || entry.name == "blocks.1.mixer.out.weight" {
        #expect(before[range] != after[range], "\(entry.name)")
      }
    }
    let error = #expect(throws: NestedError.self) {
      _ = try Trainer(model, #"{"groups": [{"pattern": "*"}, {"pattern": "layers.*"}]}"#)
    }
    #expect(error?.code == .config)
    #expect(error?.place == "/groups/1/pattern")
  }

  @Test func weightDecaySparesWhatTheSpecificationSpares() throws {
    let model = try Tiny.model()
    let trainer = try Trainer(
      model,
      #"{"optimizer": "sgd", "lr": 0.1, "weight_decay": 0.5, "schedule": {"type": "constant"}}"#)
    let before = try model.weights
    // A gradient of zero: only decay moves anything.
    trainer.targetCount[0] = 100
    #expect(try trainer.apply(control: quiet).applied)
    let after = try model.weights
    for entry in model.layout.entries {
      let spared =
        entry.shape.count < 2 || entry.name.hasPrefix("embed") || entry.name.contains("conv")
        || entry.name.contains(".memory.")
      for i in entry.offset..<entry.offset + entry.count {
        #expect(
          abs(after[i] - before[i] * (spared ? 1 : 0.95)) <= 1e-7 * abs(before[i]), "\(entry.name)")
      }
    }
  }

  @Test func aWrittenGradientIsWhatApplyUses() throws {
    let model = try Tiny.model()
    let trainer = try Trainer(model, plain)
    let before = try model.weights
    for i in 0..<trainer.gradientCount { trainer.gradient[i] = 4 }
    trainer.targetCount[0] = 100
    #expect(try trainer.apply(control: quiet).applied)
    let after = try model.weights
    #expect(zip(before, after).allSatisfy { abs($1 - ($0 - 0.002)) < 1e-6 })
    trainer.targetCount[0] = .nan
    let error = #expect(throws: NestedError.self) { _ = try trainer.apply(control: quiet) }
    #expect(error?.code == .numeric)
  }

  /// A hundred steps on one text at each optimizer's own rate; the literal M3 is as unstable as printed.
  @Test(arguments: [
    ("sgd", 0.3), ("momentum", 0.05), ("nesterov", 0.05), ("adagrad", 0.02), ("adam", 0.003), ("adamw", 0.003),
    ("muon", 0.01), ("delta-momentum", 0.05), ("dmgd", 0.3), ("dgd", 0.3), ("preconditioned-momentum", 0.0005), ("m3", 0.01),
  ])
  func everyOptimizerTrains(optimizer: String, lr: Double) throws {
    let trainer = try Trainer(
      Tiny.model(),
      #"{"optimizer": "\#(optimizer)", "lr": \#(lr), "slow": {"period": 10}, "schedule": {"type": "constant"}}"#)
    let rows = Rows(Tiny.text(120), batch: 4)
    let first = try trainer.step(rows).loss
    for _ in 0..<100 { _ = try trainer.step(rows) }
    let last = try trainer.step(rows).loss
    #expect(last < 0.8 * first)
  }

  /// The rates of the defaults are finite for every name.
  @Test(arguments: OptimizerSettings.Name.allCases)
  func defaultsStayFinite(optimizer: OptimizerSettings.Name) throws {
    let trainer = try Trainer(Tiny.model(), #"{"optimizer": "\#(optimizer.rawValue)"}"#)
    _ = try trainer.fit(Tiny.text(4000), steps: 150)
    #expect(try trainer.model.weights.allSatisfy(\.isFinite))
    #expect(optimizer == .m3Literal || trainer.counters.step == 150)
  }

  /// Vectors, embed, head and convolutions are AdamW's, with the very bits.
  @Test func whatMuonLeavesAsideIsAdamWs() throws {
    let options = #""betas": [0.8, 0.9], "schedule": {"type": "constant"}}"#
    let muon = try Trainer(Tiny.model(), #"{"optimizer": "muon", \#(options)"#)
    let adamW = try Trainer(Tiny.model(), #"{"optimizer": "adamw", \#(options)"#)
    let start = try muon.model.weights
    let rows = Rows(Tiny.text(14), batch: 2)
    _ = try muon.step(rows)
    _ = try adamW.step(rows)
    let (a, b) = (try muon.model.weights, try adamW.model.weights)
    for entry in muon.model.layout.entries {
      let range = entry.offset..<entry.offset + entry.count
      let same = a[range] == b[range]
      #expect(same != entry.form.isHidden || start[range] == a[range], "\(entry.name)")
    }
    let names = muon.model.layout.entries.filter { !$0.form.isHidden && $0.shape.count > 1 }.map(\.name)
    #expect(names.contains("embed.weight") && names.allSatisfy { $0 == "embed.weight" || $0.contains("conv") })
  }

  /// An input layer and learnt tokens are to a network what embed is: AdamW's, and learnt tokens do not decay.
  @Test func whatIsLikeEmbedIsAdamWs() throws {
    let cms = try LabelCase.all[0].model()
    let rows = try LabelledRows(LabelCase.all[0].rows(4, length: 1, perRow: true, labels: 3, seed: 9))
    let titans = try Model(
      runtime: Runtime(threads: 1),
      configuration: ModelConfiguration(
        json: #"{"kind": "titans", "vocab": 23, "d_model": 16, "n_layers": 1, "titans": {"mode": "mag", "persistent": 4}}"#),
      seed: 2)
    let text = Rows(Tiny.text(28), batch: 2)
    for (model, batch) in [(cms, rows.batch), (titans, text.batch)] {
      var after: [String: [Float]] = [:]
      for optimizer in ["adamw", "muon", "m3"] {
        for decay in ["0", "0.5"] {
          let trainer = try Trainer(
            model.clone(),
            #"{"optimizer": "\#(optimizer)", "betas": [0.8, 0.9], "weight_decay": \#(decay), "schedule": {"type": "constant"}}"#)
          _ = try trainer.step(batch, control: quiet)
          after["\(optimizer) \(decay)"] = try trainer.model.weights
        }
      }
      func of(_ run: String, _ entry: ParameterEntry) -> ArraySlice<Float> {
        after[run]![entry.offset..<entry.offset + entry.count]
      }
      let like = model.layout.entries.filter { $0.name == "input.weight" || $0.name.contains(".persistent_") }
      #expect(like.count == (batch.labels == nil ? 2 : 1))
      for entry in like {
        #expect(!entry.form.isHidden && entry.decays == (entry.name == "input.weight"))
        #expect(of("adamw 0", entry) != (try model.weights)[entry.offset..<entry.offset + entry.count])
        for optimizer in ["adamw", "muon", "m3"] {
          #expect(of("\(optimizer) 0.5", entry) == of("adamw 0.5", entry), "\(optimizer) \(entry.name)")
          #expect((of("\(optimizer) 0.5", entry) == of("\(optimizer) 0", entry)) != entry.decays)
        }
      }
    }
    withExtendedLifetime((rows, text)) {}
  }

  @Test(arguments: ["adamw", "muon", "m3", "dmgd", "dgd"])
  func stepsAllocateNothingOnceWarm(optimizer: String) throws {
    let model = try Tiny.model()
    let trainer = try Trainer(model, #"{"optimizer": "\#(optimizer)", "accumulate": 2}"#)
    let rows = Rows(Tiny.text(28), batch: 2)
    for _ in 0..<6 { _ = try trainer.step(rows) }
    let allocations = model.runtime.budget.current.allocations
    for _ in 0..<6 { _ = try trainer.step(rows) }
    #expect(model.runtime.budget.current.allocations == allocations)
  }

  @Test func aTrainerThatDoesNotFitTheLimitIsRefused() throws {
    let count = ParameterLayout(Tiny.configuration()).count
    let model = try Tiny.model(limit: count * 4 * 3)
    let used = model.runtime.budget.current.inUse
    let error = #expect(throws: NestedError.self) { _ = try Trainer(model, "") }
    #expect(error?.code == .limit)
    #expect(model.runtime.budget.current.inUse == used)
  }
}
