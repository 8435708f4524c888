import Nested
import Testing

@Suite struct SnapshotTests {
  @Test func restoringGoesBack() throws {
    let session = try Session(makeModel(), learn: .on, seed: 9)
    try session.feed(text(70))
    let (snapshot, output) = (try session.snapshot(), try session.output)
    let onward = try session.feed(text(70), logits: .all)
    try session.setLearn(.off)
    try session.restore(snapshot)
    #expect(try session.output == output && session.info.learn == .on)
    #expect(try session.feed(text(70), logits: .all) == onward)
  }

  @Test func bytesAreTheWholeState() throws {
    let session = try Session(makeModel(), learn: .on)
    try session.feed(text(70))
    let bytes = try session.snapshot().bytes()
    let fresh = try Session(session.model)
    try fresh.restore(Snapshot(bytes: bytes, model: session.model))
    #expect(try fresh.feed(text(50), logits: .all) == session.feed(text(50), logits: .all))
    try withFolder { folder in
      try fresh.restore(Snapshot(bytes: bytes, model: session.model))
      try fresh.save(to: folder + "s")
      let again = try Session(contentsOf: folder + "s", model: session.model)
      #expect(try again.snapshot().bytes() == bytes)
    }
  }

  @Test func damageIsFound() throws {
    let session = try Session(makeModel())
    try session.feed(text(10))
    let bytes = try session.snapshot().bytes()
    for broken in [[], Array(bytes.dropLast()), Array(bytes.prefix(100))] {
      let error = try failure { try Snapshot(bytes: broken, model: session.model) }
      #expect(error.status == .corrupt, "\(error)")
    }
  }

  @Test func aSnapshotOfAnotherConfigurationIsRefused() throws {
    let other = try Model(
      Configuration(description).replacing(["/segment": 8]), in: Context(threads: 1))
    let snapshot = try Session(makeModel()).snapshot()
    #expect(try failure { try Session(other).restore(snapshot) }.status == .mismatch)
    let error = try failure { try Snapshot(bytes: snapshot.bytes(), model: other) }
    #expect(error.status == .mismatch && error.place == "nested.fingerprint")
  }

  @Test func aDeltaIsWhatTheLevelsLearnt() throws {
    let session = try Session(makeModel(), learn: .on, seed: 4)
    try session.feed(text(100))
    let snapshot = try session.snapshot()
    let bytes = try snapshot.bytes(delta: true)
    #expect(try bytes.count < snapshot.bytes().count)
    let moved = try Session(session.model)
    try moved.restore(Snapshot(bytes: bytes, model: session.model))
    let info = try moved.info
    #expect(info.position == 0 && info.learn == .on && info.seed == 4)
    #expect(try moved.levels.map(\.deltaNorm) == session.levels.map(\.deltaNorm))
    #expect(try moved.levels.contains { $0.deltaNorm > 0 })
    try withFolder { folder in
      try session.save(to: folder + "delta", delta: true)
      let loaded = try Session(contentsOf: folder + "delta", model: session.model)
      #expect(try loaded.feed(text(40), logits: .all) == moved.feed(text(40), logits: .all))
    }
  }

  @Test func aDeltaIsRefusedOnOtherWeights() throws {
    let session = try Session(makeModel(), learn: .on)
    try session.feed(text(40))
    let bytes = try session.snapshot().bytes(delta: true)
    let other = try failure { try Snapshot(bytes: bytes, model: makeModel(seed: 2)) }
    #expect(other.status == .mismatch && other.place == "nested.weights")
    #expect(try failure { try session.model.save(to: "/no/such/folder/m") }.status == .io)
  }
}
