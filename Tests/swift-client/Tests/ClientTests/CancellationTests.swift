import Foundation
import Nested
import Testing

private nonisolated(unsafe) var raisedByTheHandler: Cancellation?

@Suite struct CancellationTests {
  @Test func aRaisedFlagEndsTheNextCall() throws {
    let session = try Session(makeModel())
    let stop = try Cancellation()
    #expect(!stop.isRaised)
    stop.raise()
    #expect(stop.isRaised)
    let error = try failure { try session.feed("abc".utf8, run: Run(cancellation: stop)) }
    #expect(error.status == .cancelled && error.committed == 0)
    #expect(try session.info.position == 0)
    stop.clear()
    try session.feed("abc".utf8, run: Run(cancellation: stop))
    #expect(try session.info.position == 3)
  }

  @Test func anotherThreadMayRaiseIt() throws {
    let session = try Session(makeModel(), learn: .on)
    let stop = try Cancellation()
    let bytes = text(200_000)
    let error = try failure {
      try session.feed(
        bytes,
        run: Run(cancellation: stop) {
          if $0.done > 0 && $0.done <= 64 { Thread.detachNewThread { stop.raise() } }
          return .continue
        })
    }
    #expect(error.status == .cancelled)
    let committed = try #require(error.committed)
    #expect(try 1..<200_000 ~= committed && session.info.position == committed)
    // What was read stays read, exactly.
    let fresh = try Session(session.model, learn: .on)
    try fresh.feed(text(committed))
    #expect(try fresh.output == session.output && fresh.levels == session.levels)
  }

  @Test func aSignalHandlerMayRaiseIt() throws {
    let stop = try Cancellation()
    raisedByTheHandler = stop
    signal(SIGUSR1) { _ in raisedByTheHandler?.raise() }
    defer {
      signal(SIGUSR1, SIG_DFL)
      raisedByTheHandler = nil
    }
    let session = try Session(makeModel())
    let error = try failure {
      try session.feed(
        text(100_000),
        run: Run(cancellation: stop) {
          if $0.done == 64 { kill(getpid(), SIGUSR1) }
          return .continue
        })
    }
    #expect(error.status == .cancelled && stop.isRaised)
    #expect(error.committed ?? 0 < 100_000)
  }

  @Test func everyLongCallLooksAtIt() throws {
    let context = try Context(threads: 1)
    let model = try Model(Configuration(description), in: context)
    let (trainer, session) = (try Trainer(model, options: steady), try Session(model))
    try session.feed("abc".utf8)
    let batch = try Batch([text(20)])
    try withFolder { folder in
      try model.save(to: folder + "m")
      try trainer.save(to: folder + "t")
      try session.save(to: folder + "s")
      let stop = try Cancellation()
      stop.raise()
      let run = Run(cancellation: stop)
      let calls: [() throws -> Void] = [
        { _ = try Model(contentsOf: folder + "m", in: context, run: run) },
        { try model.save(to: folder + "new", run: run) },
        { _ = try model.evaluate(batch, run: run) }, { _ = try model.forward(batch, run: run) },
        { _ = try model.consolidating([session], run: run) },
        { try trainer.step(batch, run: run) }, { try trainer.accumulate(batch, run: run) },
        { try trainer.apply(run: run) },
        { try trainer.fit(text(90), steps: 1, batch: 1, length: 8, run: run) },
        { try trainer.save(to: folder + "new", run: run) },
        { try trainer.load(from: folder + "t", run: run) },
        { try session.feed(text(9), run: run) }, { _ = try session.score(text(9), run: run) },
        { try session.generate(9, run: run) },
        { try Session.feedEach([session], [1], run: run) },
        { try session.save(to: folder + "new", run: run) },
        { _ = try Session(contentsOf: folder + "s", model: model, run: run) },
      ]
      for (index, call) in calls.enumerated() {
        #expect(try failure(call).status == .cancelled, "call \(index)")
      }
      #expect(!FileManager.default.fileExists(atPath: folder + "new"))
    }
  }

  @Test func generationKeepsWhatItWrote() throws {
    let session = try Session(makeModel())
    try session.feed("abc".utf8)
    let stop = try Cancellation()
    let error = try failure {
      try session.generate(1000, run: Run(cancellation: stop)) {
        if $0.index == 4 { stop.raise() }
        return .continue
      }
    }
    #expect(error.status == .cancelled && error.committed == 5)
    #expect(try session.info.position == 8)
  }
}
