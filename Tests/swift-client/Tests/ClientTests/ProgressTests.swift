import Nested
import Testing

@Suite struct ProgressTests {
  @Test func fitReportsEveryStep() throws {
    let trainer = try Trainer(makeModel(), options: steady)
    var seen: [Progress] = []
    let fit = try trainer.fit(
      text(300), steps: 5, batch: 2, length: 16,
      run: Run {
        seen.append($0)
        return .continue
      })
    #expect(Set(seen.map(\.done)) == [0, 1, 2, 3, 4, 5])
    #expect(seen.map(\.done) == seen.map(\.done).sorted())
    #expect(seen.allSatisfy { $0.stage == "fit" && $0.total == 5 && $0.elapsed >= 0 })
    #expect(seen.last?.loss == fit.lastLoss && fit.steps == 5 && fit.skipped == 0)
  }

  @Test func anIntervalThinsReports() throws {
    let session = try Session(makeModel())
    var reports = 0
    try session.feed(
      text(400),
      run: Run(interval: .max) { _ in
        reports += 1
        return .continue
      })
    #expect(1...2 ~= reports)
  }

  @Test func stoppingKeepsTheStepsMade() throws {
    let (stopped, short) = (try makeModel(), try makeModel())
    let error = try failure {
      try Trainer(stopped, options: steady).fit(
        text(300), steps: 100, batch: 2, length: 16, run: Run { $0.done == 3 ? .stop : .continue })
    }
    #expect(error.status == .cancelled && error.committed == 3 && error.underlying == nil)
    try Trainer(short, options: steady).fit(text(300), steps: 3, batch: 2, length: 16)
    #expect(try stopped.parameters == short.parameters)
  }

  @Test func whatAClosureThrowsArrives() throws {
    let session = try Session(makeModel(), learn: .on)
    let error = try failure {
      try session.feed(
        text(200),
        run: Run {
          if $0.done >= 32 { throw Planted(number: 7) }
          return .continue
        })
    }
    #expect(error.status == .callback && error.underlying as? Planted == Planted(number: 7))
    let committed = try #require(error.committed)
    #expect(try 32..<200 ~= committed && session.info.position == committed)
    #expect(error.description.contains("Planted"))
    try session.feed(text(200))  // and the next call knows nothing of it
    #expect(try session.info.position == committed + 200)
  }

  @Test func savingAndLoadingReport() throws {
    try withFolder { folder in
      let model = try makeModel()
      var stages: Set<String> = []
      let run = Run {
        stages.insert($0.stage)
        return .continue
      }
      try model.save(to: folder + "m", run: run)
      let again = try Model(contentsOf: folder + "m", in: Context(threads: 1), run: run)
      #expect(stages == ["save", "load"])
      let session = try Session(again)
      try session.save(to: folder + "s", run: run)
      #expect(
        try failure { try Session(contentsOf: folder + "s", model: again, run: Run { _ in .stop }) }
          .status == .cancelled)
      let error = try failure {
        try Model(
          contentsOf: folder + "m", in: Context(threads: 1),
          run: Run { _ in throw Planted(number: 1) })
      }
      #expect(error.underlying as? Planted == Planted(number: 1))
    }
  }

  @Test func aClosureMayUseOtherObjectsButNotItsOwn() throws {
    let model = try makeModel()
    let (session, other) = (try Session(model), try Session(model))
    let trainer = try Trainer(makeModel(), options: steady)
    var statuses: [Status] = []
    try session.feed(
      text(20),
      run: Run { _ in
        try other.feed("x".utf8)
        statuses.append(try failure { try session.feed("x".utf8) }.status)
        return .continue
      })
    #expect(!statuses.isEmpty && statuses.allSatisfy { $0 == .reentrant })
    statuses = []
    try trainer.fit(
      text(100), steps: 2, batch: 1, length: 8,
      run: Run { _ in
        statuses.append(try failure { try trainer.gradient }.status)
        statuses.append(try failure { try trainer.zero() }.status)
        return .continue
      })
    #expect(statuses.count >= 6 && statuses.allSatisfy { $0 == .reentrant })
    let positions = try (session.info.position, other.info.position)
    #expect(positions.0 == 20 && positions.1 > 0)
  }
}
