import Foundation
import Nested
import Testing

/// By the library's names and in its order.
private let optimizers: [(String, Trainer.Options.Optimizer)] = [
  ("sgd", .sgd), ("momentum", .momentum()), ("nesterov", .nesterov()), ("adagrad", .adagrad()),
  ("adam", .adam()), ("adamw", .adamW()), ("muon", .muon()), ("dgd", .dgd),
  ("delta-momentum", .deltaMomentum()), ("dmgd", .dmgd()),
  ("preconditioned-momentum", .preconditionedMomentum()), ("m3", .m3()),
  ("m3-literal", .m3Literal()),
]
private let schedules: [(String, Trainer.Options.Schedule)] = [
  ("constant", .constant), ("warmup", .warmup()), ("cosine", .cosine()),
  ("wsd", .warmupStableDecay()),
]

private func object(_ text: String) throws -> [String: Any] {
  try #require(JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
}

@Suite struct TrainerTests {
  let batch: Batch

  init() throws {
    batch = try Batch([text(24), text(24, "abcde")])
  }

  @Test func aStepTellsWhatItDid() throws {
    let model = try makeModel()
    let trainer = try Trainer(model, options: steady)
    let version = try model.info.version
    let step = try trainer.step(batch)
    #expect(step.isApplied && step.skip == nil && step.step == 1 && step.targets == 46)
    #expect(
      step.loss > 0 && step.gradientNorm > 0 && step.updateNorm > 0 && step.learningRate == 0.01)
    #expect(try model.info.version > version)
    var last = step.loss
    for _ in 0..<20 { last = try trainer.step(batch).loss }
    #expect(last < step.loss - 0.5)
  }

  @Test func theTypedDefaultsAreTheLibrarys() throws {
    let model = try makeModel()
    func options(_ options: JSON) throws -> NSDictionary {
      let text = try Trainer(model, options: options).options
      return try #require(JSONSerialization.jsonObject(with: Data(text.utf8)) as? NSDictionary)
    }
    #expect(try options(Trainer.Options().json) == options([:]))
    for (name, typed) in optimizers {
      #expect(
        try options(Trainer.Options(optimizer: typed).json) == options(["optimizer": .string(name)])
      )
    }
    for (name, typed) in schedules {
      #expect(
        try options(Trainer.Options(schedule: typed).json)
          == options(["schedule": ["type": .string(name)]]))
    }
  }

  /// Neither a name nor a key of the schema is out of reach.
  @Test func theTypedOptionsAreTheSchemas() throws {
    let schema = try object(Library.trainerSchema)
    let known = try #require(schema["properties"] as? [String: [String: Any]])
    #expect(known["optimizer"]?["enum"] as? [String] == optimizers.map(\.0))
    let schedule = try #require(known["schedule"]?["properties"] as? [String: [String: Any]])
    #expect(schedule["type"]?["enum"] as? [String] == schedules.map(\.0))

    let written = try optimizers.map { try object(Trainer.Options(optimizer: $1).json.description) }
    #expect(Set(written.flatMap(\.keys)) == Set(known.keys))
    let slow = try #require(written.lazy.compactMap { $0["slow"] as? [String: Any] }.first)
    #expect(Set(slow.keys) == Set((known["slow"]?["properties"] as? [String: Any] ?? [:]).keys))
    let scheduled = try schedules.flatMap { _, typed in
      let options = try object(Trainer.Options(schedule: typed).json.description)
      return Array((options["schedule"] as? [String: Any] ?? [:]).keys)
    }
    #expect(Set(scheduled) == Set(schedule.keys))
    let group = Trainer.Options.Group(
      "*", learningRate: 1, weightDecay: 1, betas: .init(0.8, 0.9), epsilon: 1, momentum: 0.5)
    let grouped = try object(Trainer.Options(groups: [group]).json.description)["groups"]
    let items = try #require(known["groups"]?["items"] as? [String: Any])
    #expect(
      Set(try #require(grouped as? [[String: Any]])[0].keys)
        == Set(try #require(items["properties"] as? [String: Any]).keys))
    let trainer = try Trainer(makeModel(), options: Trainer.Options(groups: [group]))
    #expect(try object(trainer.options)["groups"] as? NSArray == grouped as? NSArray)
  }

  /// Each of them teaches.
  @Test(arguments: optimizers) func anOptimizerTeaches(
    _ name: String, _ optimizer: Trainer.Options.Optimizer
  ) throws {
    let model = try makeModel()
    let rate = ["sgd", "dgd"].contains(name) ? 0.3 : name == "m3-literal" ? 1e-5 : 0.01
    let trainer = try Trainer(
      model, options: .init(optimizer: optimizer, learningRate: rate, schedule: .constant))
    let before = try trainer.step(batch).loss
    for _ in 0..<12 { try trainer.step(batch) }
    #expect(try model.evaluate(batch).loss < before - 0.02, "\(name)")
  }

  @Test func optionsAreChecked() throws {
    let model = try makeModel()
    let error = try failure { try Trainer(model, options: Trainer.Options(accumulate: 0)) }
    #expect(error.status == .configuration && error.place == "/accumulate")
    #expect(try failure { try Trainer(model, options: ["lr": .number(.nan)]) }.status == .parse)
    let trainer = try Trainer(model)
    #expect(try failure { try Trainer(model) }.status == .exists)
    #expect(try trainer.step(batch).step == 1)
  }

  @Test func groupsAndRatesApply() throws {
    let model = try makeModel()
    let before = try model.parameters
    let frozen = Trainer.Options(
      schedule: .constant, groups: [.init("*", learningRate: 0, weightDecay: 0)])
    try Trainer(model, options: frozen).step(batch)
    #expect(try model.parameters == before)
    let trainer = try Trainer(model, options: steady)
    try trainer.setLearningRate(0)
    #expect(try trainer.step(batch).learningRate == 0)
    try trainer.setLearningRate(nil)
    #expect(try trainer.step(batch).learningRate == 0.01)
  }

  @Test func aSavedTrainerGoesOnBitForBit() throws {
    try withFolder { folder in
      let model = try makeModel()
      let trainer = try Trainer(model, options: Trainer.Options(seed: 3))
      try trainer.fit(text(400), steps: 4, batch: 2, length: 16)
      try model.save(to: folder + "m")
      try trainer.save(to: folder + "t")
      let again = try Model(contentsOf: folder + "m", in: Context(threads: 1))
      let resumed = try Trainer(again, options: steady)
      try resumed.load(from: folder + "t")
      #expect(try resumed.options == trainer.options)
      for one in [trainer, resumed] { try one.fit(text(400), steps: 4, batch: 2, length: 16) }
      #expect(try model.parameters == again.parameters)
      #expect(try failure { try resumed.load(from: folder + "m") }.status != .internal)
      #expect(try resumed.step(batch).step == 9)
    }
  }

  @Test func accumulatingIsOneLargeBatch() throws {
    let (whole, parts) = (try makeModel(), try makeModel())
    let (a, b) = (try Trainer(whole, options: steady), try Trainer(parts, options: steady))
    try a.step(Batch([text(24), text(24, "abcde")]))
    try b.accumulate(Batch([text(24)]))
    let evaluation = try b.accumulate(Batch([text(24, "abcde")]))
    #expect(evaluation.targets == 23)
    #expect(try failure { try b.fit(text(90), steps: 1, batch: 1, length: 8) }.status == .state)
    #expect(try b.apply().targets == 46)
    let difference = zip(try whole.parameters, try parts.parameters).map { abs($0 - $1) }.max() ?? 1
    #expect(difference < 1e-3)
    try b.accumulate(batch)
    try b.zero()
    #expect(try b.apply().skip == .noTargets)
  }

  @Test func gradientsGoOutAndIn() throws {
    let (alone, first, second) = (try makeModel(), try makeModel(), try makeModel())
    let trainers = try [alone, first, second].map { try Trainer($0, options: steady) }
    let halves = try [Batch([text(24)]), Batch([text(24, "abcde")])]
    try trainers[0].accumulate(halves[0])
    try trainers[0].accumulate(halves[1])
    try trainers[1].accumulate(halves[0])
    try trainers[2].accumulate(halves[1])
    var sum = try trainers[1].gradient
    #expect(try sum.values.count == alone.info.parameters && sum.targets == 23)
    try sum.add(trainers[2].gradient)
    #expect(sum.targets == 46)
    for trainer in trainers[1...] {
      try trainer.setGradient(sum)
      #expect(try trainer.gradient == sum)
    }
    for trainer in trainers { #expect(try trainer.apply().isApplied) }
    #expect(try first.parameters == second.parameters)
    let difference = zip(try alone.parameters, try first.parameters).map { abs($0 - $1) }.max() ?? 1
    #expect(difference < 1e-3)
    var other = Gradient(values: [1], targets: 1)
    #expect(try failure { try other.add(sum) }.status == .shape)
  }

  @Test func aGradientThatIsNotFiniteIsDroppedAndLogged() throws {
    let records = Box<[Log.Record]>([])
    let model = try makeModel(log: Log(.warning) { record in records.change { $0.append(record) } })
    let trainer = try Trainer(model, options: steady)
    let before = try model.parameters
    try trainer.accumulate(batch)
    var gradient = try trainer.gradient
    gradient.values[3] = .nan
    try trainer.setGradient(gradient)
    let step = try trainer.apply()
    #expect(!step.isApplied && step.skip == .notFinite)
    #expect(try model.parameters == before)
    #expect(records.value.count == 1)
    #expect(records.value.first?.level == .warning && records.value.first?.component == "train")
    #expect(records.value.first?.message.contains("finite") == true)
  }

  @Test func aHookSeesTheWholeGradient() throws {
    let (plain, hooked) = (try makeModel(), try makeModel())
    try Trainer(plain, options: steady).step(batch)
    let trainer = try Trainer(hooked, options: steady)
    let seen = Box((elements: 0, largest: 0, targets: 0.0))
    // Two workers with the same batch: everything twice, so the mean is the same bits.
    try trainer.setAllReduce(
      AllReduce(bucket: 1000) { bucket in
        for index in bucket.indices { bucket[index] *= 2 }
        let count = bucket.count
        seen.change {
          $0.elements += count
          $0.largest = max($0.largest, count)
        }
      } targets: { targets in
        let mine = targets
        seen.change { $0.targets = mine }
        targets *= 2
      })
    #expect(try trainer.step(batch).targets == 92)
    let total = try hooked.info.parameters
    #expect(seen.value.elements == total && seen.value.largest == 1000 && seen.value.targets == 46)
    #expect(try plain.parameters == hooked.parameters)
    try trainer.setAllReduce(nil)
    try trainer.step(batch)
    #expect(seen.value.elements == total)
  }

  @Test func aHookThatThrowsAppliesNothing() throws {
    let model = try makeModel()
    let trainer = try Trainer(model, options: steady)
    let before = try model.parameters
    try trainer.setAllReduce(
      AllReduce { _ in
        throw Planted(number: 3)
      } targets: { _ in
      })
    let error = try failure { try trainer.step(batch) }
    #expect(error.status == .callback && error.underlying as? Planted == Planted(number: 3))
    let late = AllReduce { _ in
    } targets: { _ in
      throw Planted(number: 4)
    }
    try trainer.setAllReduce(late)
    #expect(try failure { try trainer.step(batch) }.underlying as? Planted == Planted(number: 4))
    #expect(try model.parameters == before)
    #expect(
      try failure {
        try trainer.setAllReduce(
          AllReduce(bucket: -1) { _ in
          } targets: { _ in
          })
      }.status == .range)
    #expect(try failure { try trainer.step(batch) }.underlying as? Planted == Planted(number: 4))
  }

  @Test func threadsShareATrainer() async throws {
    let trainer = try Trainer(makeModel(), options: steady)
    let batch = batch
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<3 {
        group.addTask {
          for _ in 0..<10 {
            try trainer.accumulate(batch)
            let gradient = try trainer.gradient
            #expect(gradient.values.allSatisfy { $0.isFinite })
            try trainer.setGradient(gradient)
            try trainer.apply()
          }
        }
      }
      try await group.waitForAll()
    }
    #expect(try trainer.step(batch).isApplied)
  }
}
