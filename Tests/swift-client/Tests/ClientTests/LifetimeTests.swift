import Nested
import Testing

/// Run alone: it counts what is alive in the process.
@Suite struct LifetimeTests {
  @Test func everythingGoesInAnyOrder() throws {
    let before = Library.liveObjects()
    var random = SystemRandomNumberGenerator()
    for _ in 0..<60 {
      var context: Context? = try Context(threads: 2)
      var configuration: Configuration? = try Configuration(description)
      var model = try configuration.map { try Model($0, in: context ?? Context()) }
      var trainer = try model.map { try Trainer($0) }
      var session = try model.map { try Session($0, learn: .on) }
      var fork = try session?.fork()
      var snapshot = try session?.snapshot()
      var stop: Cancellation? = try Cancellation()
      var order = Array(0..<8)
      order.shuffle(using: &random)
      for index in order {
        switch index {
        case 0: context = nil
        case 1: configuration = nil
        case 2: model = nil
        case 3: trainer = nil
        case 4: session = nil
        case 5: fork = nil
        case 6: snapshot = nil
        default: stop = nil
        }
        // What is left works.
        _ = try context?.memory
        _ = try configuration?.integer(at: "/vocab")
        _ = try model?.info
        try trainer?.zero()
        try session?.feed("ab".utf8, run: Run(cancellation: stop))
        try fork?.feed("ab".utf8)
        #expect(try snapshot?.bytes().isEmpty != true)
      }
      #expect(Library.liveObjects() == before)
    }
  }

  @Test func eachKindIsCounted() throws {
    func counted(_ kind: Library.ObjectKind, _ make: () throws -> any Sendable) throws {
      let before = Library.liveObjects(kind)
      let object = try make()
      withExtendedLifetime(object) { #expect(Library.liveObjects(kind) == before + 1, "\(kind)") }
    }
    let context = try Context(threads: 1)
    let configuration = try Configuration(description)
    let model = try Model(configuration, in: context)
    let session = try Session(model)
    try counted(.context) { try Context(threads: 1) }
    try counted(.configuration) { try Configuration() }
    try counted(.model) { try model.clone() }
    try counted(.trainer) { try Trainer(model) }
    try counted(.session) { try session.fork() }
    try counted(.snapshot) { try session.snapshot() }
    try counted(.cancellation) { try Cancellation() }
    try counted(.any) { try Cancellation() }
    #expect(Library.liveObjects(.blob) == 0)
  }

  @Test func aLogLivesAsLongAsWhatMayWriteToIt() throws {
    final class Target: Sendable {}
    weak var target: Target?
    var trainer: Trainer?
    do {
      let made = Target()
      target = made
      let model = try makeModel(log: Log(.debug) { _ in withExtendedLifetime(made) {} })
      trainer = try Trainer(model)
    }
    #expect(target != nil)
    try trainer?.step(Batch([text(8)]))
    trainer = nil
    #expect(target == nil)
  }

  @Test func aHookLivesAsLongAsItIsSet() throws {
    final class Target: Sendable {}
    let trainer = try Trainer(makeModel())
    weak var target: Target?
    do {
      let made = Target()
      target = made
      try trainer.setAllReduce(
        AllReduce { _ in
          withExtendedLifetime(made) {}
        } targets: { _ in
        })
    }
    #expect(target != nil)
    try trainer.step(Batch([text(8)]))
    try trainer.setAllReduce(nil)
    #expect(target == nil)
  }

  @Test func failuresLeakNothing() throws {
    let before = Library.liveObjects()
    let context = try Context(threads: 1)
    for _ in 0..<50 {
      _ = try failure { try Model(contentsOf: "/no/such", in: context) }
      _ = try failure { try Configuration(["no": "such"]) }
      _ = try failure { try Configuration(description).replacing(["/no/such": 1]) }
    }
    #expect(Library.liveObjects() == before + 1)
  }
}
