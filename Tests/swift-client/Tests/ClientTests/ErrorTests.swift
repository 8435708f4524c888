import Foundation
import Nested
import Testing

@Suite struct ErrorTests {
  @Test func aWrongValueHasAPlace() throws {
    let error = try failure { try Configuration(["vocab": 256, "d_model": -3]) }
    #expect(error.status == .configuration)
    #expect(error.place == "/d_model")
    #expect(error.function == "nested_config_from_json")
    #expect(!error.message.isEmpty && error.osError == 0 && error.offset == nil)
    #expect(error.committed == nil && error.underlying == nil)
    #expect(error.description.contains("/d_model") && error.description.contains("NESTED_E_CONFIG"))
  }

  @Test func aMalformedTextHasAnOffset() throws {
    let error = try failure { try Configuration(json: #"{"vocab": 256,, }"#) }
    #expect(error.status == .parse)
    let offset = try #require(error.offset)
    #expect(13...16 ~= offset)
  }

  @Test func aMissingFileHasAnErrno() throws {
    let context = try Context(threads: 1)
    let error = try failure { try Model(contentsOf: "/no/such/file", in: context) }
    #expect(error.status == .io && error.osError == ENOENT)
  }

  @Test func aTokenOutsideTheVocabularyChangesNothing() throws {
    let session = try Session(makeModel(), learn: .on)
    try session.feed("abc".utf8)
    let (position, output) = (try session.info.position, try session.output)
    let error = try failure { try session.feed([1, 2, 256]) }
    #expect(error.status == .range && error.committed == 0)
    #expect(try session.info.position == position && session.output == output)
  }

  @Test func whatIsNoTokenIsRefusedBeforeTheLibrary() throws {
    let session = try Session(makeModel())
    #expect(try failure { try session.feed([1, 1 << 40]) }.status == .range)
    #expect(try failure { try session.score([UInt64.max]) }.place == "tokens")
    #expect(try failure { try Batch([[1], [Int.min]]) }.status == .range)
  }

  @Test func aNULIsNotTheEndOfAName() throws {
    let model = try makeModel()
    #expect(try failure { try model.save(to: "a\0b") }.status == .argument)
    #expect(try failure { try model.tensor(named: "embed.weight\0x") }.status == .argument)
    #expect(try failure { try model.configuration.integer(at: "/d_model\0") }.status == .argument)
    #expect(!Library.hasFeature("optim.adamw\0"))
  }

  @Test func noNumberTraps() throws {
    let model = try makeModel()
    let trainer = try Trainer(model, options: steady)
    let session = try Session(model)
    try session.feed("a".utf8)
    let bytes = text(100)
    let calls: [() throws -> Void] = [
      { _ = try Context(threads: .max) }, { _ = try Context(threads: .min) },
      { _ = try Context(memoryLimit: -1) },
      { _ = try Batch(rows: .max, length: .max, tokens: bytes) },
      { _ = try Batch(rows: -1, length: -1, tokens: bytes) },
      { try trainer.step(Batch([[Int32]]())) }, { try trainer.step(Batch([[Int32](), []])) },
      { try trainer.fit(bytes, steps: .min, batch: 1, length: 8) },
      { try trainer.fit(bytes, steps: 1, batch: .max, length: .max) },
      { try trainer.fit(bytes, steps: 1, batch: 1, length: 100) },
      { try trainer.setLearningRate(-1) }, { try trainer.setLearningRate(.nan) },
      { try session.feed([Int32]()) }, { try session.generate(-1) },
      { try session.generate(1, sampling: Sampling(temperature: .nan)) },
      { try session.generate(1, sampling: Sampling(temperature: 1, topK: .min)) },
      { try session.generate(1, sampling: Sampling(repetitionPenalty: 2, repetitionWindow: .min)) },
      { try session.generate(1, sampling: Sampling(stop: [-1])) },
      { try session.generate(1, sampling: Sampling(logitBias: [1])) },
      { _ = try session.level(layer: .max, level: 0) },
      { _ = try session.level(layer: -1, level: 0) },
      { try session.freeze(layer: -1) }, { try session.resetLevels(level: .max) },
      { try session.scaleLearningRate(0) }, { try session.scaleLearningRate(.infinity) },
      { _ = try model.consolidating([]) }, { _ = try model.consolidating([session], weights: []) },
      { _ = try model.consolidating([session], levels: []) },
      { _ = try model.consolidating([session], levels: [.max]) },
      { _ = try model.consolidating([session], strength: .nan) },
      { _ = try model.consolidating([session], strength: 0) },
      { try Session.feedEach([], [Int32]()) }, { try Session.feedEach([session], [1, 2]) },
      { try Session.feedEach([session, session], [1, 2]) },
      { _ = try Tensor(shape: [.max, 2], values: []) }, { _ = try Tensor(shape: [-1], values: []) },
      { try model.setTensor(named: "norm.weight", to: Tensor(shape: [], values: [1])) },
      { try model.setParameters([]) },
      { try trainer.setGradient(Gradient(values: [], targets: 1)) },
      { _ = try Configuration(["preset": "hope-0.1m", "vocab": .number(.nan)]) },
    ]
    let allowed: Set<Status> = [.argument, .range, .shape, .numeric, .notFound, .parse, .limit]
    for (index, call) in calls.enumerated() {
      let error = try failure(call)
      #expect(allowed.contains(error.status), "call \(index): \(error)")
    }
    #expect(try session.info.position == 1 && trainer.step(Batch([bytes])).step == 1)
  }

  @Test func theMemoryLimitHolds() throws {
    let context = try Context(threads: 1, memoryLimit: 1 << 16)
    let error = try failure { try Model(Configuration(description), in: context) }
    #expect(error.status == .limit)
    #expect(try context.memory.inUse == 0 && context.memory.limit == 1 << 16)
    #expect(try context.memory.peak <= 1 << 16)
  }

  @Test func unknownStatusesAreKept() {
    #expect(Status(rawValue: -999) != .internal)
    #expect(Status(rawValue: -999).description == "NESTED_E_?")
  }
}
