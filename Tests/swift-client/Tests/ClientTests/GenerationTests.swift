import Nested
import Testing

@Suite struct GenerationTests {
  func session(seed: UInt64 = 0) throws -> Session {
    let session = try Session(makeModel(), seed: seed)
    try session.feed("abc".utf8)
    return session
  }

  @Test func aStreamMustHaveBegun() throws {
    #expect(try failure { try Session(makeModel()).generate(1) }.status == .state)
  }

  @Test func theSeedDecides() throws {
    let sampling = Sampling(temperature: 1.5, topK: 100, topP: 0.99, minP: 0.001)
    let drawn = try session(seed: 5).generate(40, sampling: sampling)
    #expect(drawn.tokens.count == 40 && drawn.finish == .length)
    #expect(try session(seed: 5).generate(40, sampling: sampling) == drawn)
    #expect(try session(seed: 6).generate(40, sampling: sampling) != drawn)
  }

  @Test func eachRestrictionLeavesTheLikeliest() throws {
    let greedy = try session().generate(10).tokens
    #expect(try session().generate(10, sampling: Sampling(temperature: 50)).tokens != greedy)
    for sampling in [
      Sampling(temperature: 50, topK: 1), Sampling(temperature: 50, topP: 1e-9),
      Sampling(temperature: 50, minP: 1),
    ] {
      #expect(try session().generate(10, sampling: sampling).tokens == greedy)
    }
  }

  @Test func eventsAreTheTokens() throws {
    var events: [TokenEvent] = []
    let drawn = try session().generate(10, sampling: Sampling(temperature: 1)) {
      events.append($0)
      return .continue
    }
    #expect(events.map(\.token) == drawn.tokens && events.map(\.index) == Array(0..<10))
    #expect(events.allSatisfy { $0.logProbability < 0 })
  }

  @Test func aClosureEndsIt() throws {
    let session = try session()
    let drawn = try session.generate(1000) { $0.index == 2 ? .stop : .continue }
    #expect(drawn.tokens.count == 3 && drawn.finish == .callback)
    #expect(try session.info.position == 6)
  }

  @Test func whatAClosureThrowsArrives() throws {
    let session = try session()
    let error = try failure {
      try session.generate(10) { event in
        if event.index == 3 { throw Planted(number: event.index) }
        return .continue
      }
    }
    #expect(error.status == .callback && error.underlying as? Planted == Planted(number: 3))
    let committed = try #require(error.committed)
    #expect(try session.info.position == 3 + committed)
  }

  @Test func aStopTokenIsTheLast() throws {
    let free = try session().generate(6)
    let drawn = try session().generate(.max, sampling: Sampling(stop: [free.tokens[4], 0]))
    #expect(drawn.finish == .stop)
    #expect(drawn.tokens.last == free.tokens[4] || drawn.tokens.last == 0)
  }

  @Test func aBiasDecides() throws {
    var bias = [Float](repeating: 0, count: 256)
    bias[65] = 100
    #expect(try session().generate(3, sampling: Sampling(logitBias: bias)).text == "AAA")
  }

  @Test func aPenaltyMovesAway() throws {
    var bias = [Float](repeating: -100, count: 256)
    bias[65] = 3
    bias[66] = 2.9
    let sampling = Sampling(repetitionPenalty: 10, repetitionWindow: 1, logitBias: bias)
    let drawn = try session().generate(8, sampling: sampling)
    #expect(Set(drawn.tokens).count > 1)
  }
}
