import Foundation
import Nested
import Testing

@Suite struct SessionTests {
  @Test func tokensMayBeAnyIntegers() throws {
    let model = try makeModel()
    func output<Tokens: Sequence>(_ tokens: Tokens) throws -> [Float]
    where Tokens.Element: BinaryInteger {
      let session = try Session(model)
      try session.feed(tokens)
      return try session.output
    }
    let expected = try output([97, 98, 255] as [Int32])
    #expect(try output([97, 98, 255] as [UInt8]) == expected)
    #expect(try output([97, 98, 255]) == expected)
    #expect(try output([0, 97, 98, 255].dropFirst()) == expected)
    #expect(try output(Data([97, 98, 255])) == expected)
    #expect(try output("ab".utf8) == output([97, 98] as [UInt16]))
  }

  @Test func howAStreamIsCutDoesNotMatter() throws {
    let model = try makeModel()
    let (whole, pieces) = (try Session(model, learn: .on), try Session(model, learn: .on))
    let bytes = text(150)
    let all = try #require(whole.feed(bytes, logits: .all).logits)
    var rows: [Float] = []
    for start in stride(from: 0, to: bytes.count, by: 7) {
      rows += try pieces.feed(bytes[start..<min(start + 7, 150)], logits: .all).logits?.values ?? []
    }
    #expect(all.shape == [150, 256] && rows == all.values)
    #expect(try whole.output == Array(all[row: 149]) && whole.levels == pieces.levels)
  }

  @Test func theLogitsThatWereAskedFor() throws {
    let model = try makeModel()
    let session = try Session(model)
    #expect(try session.feed("a".utf8).logits == nil)
    for bytes in ["b", "cd"] {
      let last = try #require(try session.feed(bytes.utf8, logits: .last).logits)
      #expect(last.shape == [1, 256])
      #expect(try last.values == session.output)
    }
    #expect(try session.feed("e".utf8, logits: .all).logits?.shape == [1, 256])
  }

  @Test func lossIsTheMeanOfTheScores() throws {
    let session = try Session(makeModel())
    let bytes = text(60)
    let score = try session.score(bytes)
    #expect(score.logProbabilities.count == 60 && score.logProbabilities[0].isNaN)
    #expect(try session.info.position == 0)
    let feed = try session.feed(bytes)
    #expect(feed.consumed == 60 && feed.updates == 0)
    #expect(abs(feed.loss + score.sum / 59) < 1e-9)
    #expect(!(try session.score("x".utf8).sum.isNaN))
  }

  @Test(arguments: LearnMode.allCases) func modes(_ mode: LearnMode) throws {
    let session = try Session(makeModel(), learn: mode, seed: .max)
    let feed = try session.feed(text(100))
    let info = try session.info
    #expect(info.learn == mode && info.seed == .max && info.position == 100)
    #expect((feed.updates > 0) == (mode == .on) && info.updates == feed.updates)
    #expect(info.stateBytes > 0 && info.skipped == 0)
    for other in LearnMode.allCases {
      try session.setLearn(other)
      #expect(try session.info.learn == other)
    }
  }

  @Test func aForkGoesItsOwnWay() throws {
    let session = try Session(makeModel(), learn: .on)
    try session.feed(text(50))
    let fork = try session.fork()
    try fork.feed("other".utf8)
    #expect(try session.info.position == 50 && fork.info.position == 55)
    try session.feed("other".utf8)
    #expect(try session.output == fork.output)
  }

  @Test func resetIsAFreshStart() throws {
    let session = try Session(makeModel(), learn: .on, seed: 3)
    let first = try session.feed(text(50), logits: .all)
    try session.reset()
    #expect(try failure { try session.output }.status == .state)
    #expect(try session.feed(text(50), logits: .all) == first)
  }

  @Test func manyAtOnceEqualOneByOne() throws {
    let model = try makeModel()
    let (together, alone) = try (
      (0..<5).map { _ in try Session(model, learn: .on) },
      (0..<5).map { _ in try Session(model, learn: .on) }
    )
    for round in 0..<20 {
      let tokens = (0..<5).map { UInt8($0 * 40 + round) }
      let logits = try Session.feedEach(together, tokens)
      #expect(logits.shape == [5, 256])
      for (index, session) in alone.enumerated() {
        let row = try session.feed([tokens[index]], logits: .last).logits?.values
        #expect(row == Array(logits[row: index]))
      }
    }
    let stranger = try Session(makeModel())
    #expect(
      try failure { try Session.feedEach([alone[0], stranger], [1, 2]) }.status == .mismatch)
  }

  @Test func sessionsInThreadsEqualTheSameOneAfterAnother() async throws {
    let model = try makeModel(threads: 2)
    @Sendable func stream(_ number: Int) throws -> [Float] {
      let session = try Session(model, learn: .on, seed: UInt64(number))
      try session.feed(text(120, "stream \(number) reads. "))
      try session.generate(10, sampling: Sampling(temperature: 1))
      return try session.output
    }
    let parallel = try await withThrowingTaskGroup(of: (Int, [Float]).self) { group in
      for number in 0..<8 { group.addTask { (number, try stream(number)) } }
      return try await group.reduce(into: [Int: [Float]]()) { $0[$1.0] = $1.1 }
    }
    for number in 0..<8 { #expect(try parallel[number] == stream(number)) }
  }

  @Test func threadsThatShareASessionTakeTurns() async throws {
    let session = try Session(makeModel(), learn: .on)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<4 {
        group.addTask {
          for _ in 0..<25 {
            try session.feed("ab".utf8)
            _ = try session.info
          }
        }
      }
      try await group.waitForAll()
    }
    let fresh = try Session(session.model, learn: .on)
    try fresh.feed(text(200, "ab"))
    #expect(try session.output == fresh.output)
  }
}
