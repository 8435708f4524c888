import NestedBase
import NestedModels
import NestedTensor
import Testing

@testable import NestedTraining

@Suite struct ConsolidationTests {
  /// A session that has learnt from `count` tokens.
  private func learner(_ model: Model, seed: UInt64, count: Int = 130) throws -> Session {
    let session = try Session(model: model, learn: .on, seed: 0)
    let text = Tiny.text(count, seed: seed)
    try text.withUnsafeBufferPointer { buffer in
      _ = try session.feed(
        tokens: Tokens(buffer.baseAddress!), count: count, logits: nil, lastOnly: true,
        control: quiet)
    }
    return session
  }

  /// What a session's levels have moved, in the order of the layout; 0 elsewhere.
  private func delta(_ session: Session) throws -> [Double] {
    let layout = session.model.layout
    var delta = [Double](repeating: 0, count: layout.count)
    for entry in layout.entries where entry.level >= 0 {
      try session.withOnlineWeights(entry) { (online, _, start, _) in
        for i in 0..<entry.count {
          delta[entry.offset + i] = Double(online[i]) - Double(start[i])
        }
      }
    }
    return delta
  }

  private func merge(
    _ model: Model, _ sessions: [Session], _ change: (inout ConsolidationOptions) -> Void = { _ in }
  ) throws -> Model {
    var options = ConsolidationOptions()
    change(&options)
    return try consolidate(model: model, sessions: sessions, options: options, control: quiet)
  }

  private func expectMoved(
    _ merged: Model, from model: Model, by delta: (Int) -> Double,
    _ location: SourceLocation = #_sourceLocation
  ) throws {
    let (before, after) = (try model.weights, try merged.weights)
    for i in before.indices {
      let expected = Float(Double(before[i]) + delta(i))
      #expect(
        abs(after[i] - expected) <= 1e-6 * max(abs(expected), 1e-3), "\(i)",
        sourceLocation: location)
    }
  }

  @Test func oneSessionGivesItsOwnWeights() throws {
    let model = try Tiny.model()
    let session = try learner(model, seed: 1)
    let before = try model.weights
    let delta = try delta(session)
    #expect(delta.contains { $0 != 0 })
    let merged = try merge(model, [session])
    try expectMoved(merged, from: model, by: { delta[$0] })
    // Only levels that learn online move; session and model stay.
    for entry in model.layout.entries where entry.level < 0 || Tiny.periods[entry.level] == 0 {
      let range = entry.offset..<entry.offset + entry.count
      #expect(try merged.weights[range] == before[range])
    }
    #expect(try model.weights == before)
    #expect(try self.delta(session) == delta)
  }

  @Test func sessionsAreWeighted() throws {
    let model = try Tiny.model()
    let sessions = [try learner(model, seed: 1), try learner(model, seed: 2)]
    let deltas = try sessions.map { try delta($0) }
    let equal = try merge(model, sessions)
    try expectMoved(equal, from: model, by: { (deltas[0][$0] + deltas[1][$0]) / 2 })
    let weighted = try merge(model, sessions) {
      $0.weights = [3, 1]
      $0.strength = 0.5
    }
    try expectMoved(
      weighted, from: model, by: { 0.5 * (0.75 * deltas[0][$0] + 0.25 * deltas[1][$0]) })
    let one = try merge(model, sessions) { $0.weights = [0, 7] }
    try expectMoved(one, from: model, by: { deltas[1][$0] })
  }

  @Test func theMaskChoosesLevels() throws {
    let model = try Tiny.model()
    let session = try learner(model, seed: 1)
    let delta = try delta(session)
    let levels = model.layout.entries.flatMap { [Int](repeating: $0.level, count: $0.count) }
    for level in 0..<2 {
      let merged = try merge(model, [session]) { $0.levelMask = 1 << UInt32(level) }
      try expectMoved(merged, from: model, by: { levels[$0] == level ? delta[$0] : 0 })
    }
  }

  @Test func maxNormBoundsEveryTensor() throws {
    let model = try Tiny.model()
    let session = try learner(model, seed: 1)
    let delta = try delta(session)
    let norms = model.layout.entries.map { entry in
      (0..<entry.count).reduce(0.0) { $0 + delta[entry.offset + $1] * delta[entry.offset + $1] }
        .squareRoot()
    }
    let bound = try #require(norms.max()) / 3
    let merged = try merge(model, [session]) { $0.maxNorm = bound }
    var factors = [Double](repeating: 1, count: delta.count)
    var clipped = 0
    for (entry, norm) in zip(model.layout.entries, norms) where norm > bound {
      clipped += 1
      for i in entry.offset..<entry.offset + entry.count { factors[i] = bound / norm }
    }
    #expect(clipped > 0 && clipped < norms.filter { $0 > 0 }.count)
    try expectMoved(merged, from: model, by: { factors[$0] * delta[$0] })
  }

  @Test func aSessionThatNeverLearntChangesNothing() throws {
    let model = try Tiny.model()
    let session = try Session(model: model, learn: .memory, seed: 0)
    let merged = try merge(model, [session])
    #expect(try merged.weights == model.weights)
  }

  @Test func sessionsOfAnotherArchitectureAreRefused() throws {
    let model = try Tiny.model()
    let stranger = try Session(model: Tiny.model(dModel: 24), learn: .on, seed: 0)
    let error = #expect(throws: NestedError.self) { _ = try merge(model, [stranger]) }
    #expect(error?.code == .mismatch)
  }

  @Test func impossibleOptionsAreRefused() throws {
    let model = try Tiny.model()
    let session = try Session(model: model, learn: .on, seed: 0)
    let changes: [(inout ConsolidationOptions) -> Void] = [
      { $0.levelMask = 1 << 3 }, { $0.strength = -1 }, { $0.strength = .nan }, { $0.maxNorm = -1 },
      { $0.weights = [0] }, { $0.weights = [-1] }, { $0.weights = [1, 1] }, { $0.weights = [.nan] },
    ]
    for change in changes {
      let error = #expect(throws: NestedError.self) { _ = try merge(model, [session], change) }
      #expect(error?.code == .range)
    }
    let error = #expect(throws: NestedError.self) { _ = try merge(model, []) }
    #expect(error?.code == .argument)
  }
}
