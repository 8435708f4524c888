import NestedBase
import NestedModels
import NestedTensor
import Testing

@testable import NestedTraining

@Suite struct FitTests {
  private let options = #"{"lr": 0.01, "seed": 4, "schedule": {"type": "constant"}}"#

  @Test func fitIsStepsOnTheWindowsOfItsSeed() throws {
    let text = Tiny.text(300)
    let fitted = try Trainer(Tiny.model(), options)
    let result = try fitted.fit(text, steps: 6, batch: 3, length: 10)
    #expect(result.steps == 6 && result.skipped == 0 && result.last.step == 6)
    #expect(result.last.targets == 30)
    let stepped = try Trainer(Tiny.model(), options)
    let random = Philox(seed: 4, stream: Trainer.windowStream)
    var loss = 0.0
    for step in 0..<6 {
      var tokens: [Int32] = []
      var targets: [Int32] = []
      for row in 0..<3 {
        let start = random.index(below: 290, at: UInt64(step * 3 + row))
        tokens += text[start..<start + 10]
        targets += text[start + 1..<start + 11]
      }
      loss += try stepped.step(Rows(tokens, targets: targets, batch: 3)).loss
    }
    #expect(try fitted.model.weights == stepped.model.weights)
    #expect(abs(result.loss - loss / 6) < 1e-9)
  }

  @Test func twoFitsAreOne() throws {
    let text = Tiny.text(300)
    let once = try Trainer(Tiny.model(), options)
    let twice = try Trainer(Tiny.model(), options)
    _ = try once.fit(text, steps: 7)
    _ = try twice.fit(text, steps: 3)
    _ = try twice.fit(text, steps: 4)
    #expect(try once.everything == twice.everything)
  }

  @Test func windowsReachBothEndsOfTheText() throws {
    // The shortest text: one window, and its last target is the last token.
    let trainer = try Trainer(Tiny.model(), options)
    #expect(try trainer.fit(Tiny.text(10), steps: 2, batch: 1, length: 9).steps == 2)
    let error = #expect(throws: NestedError.self) {
      _ = try trainer.fit(Tiny.text(9), steps: 1, batch: 1, length: 9)
    }
    #expect(error?.code == .range)
    #expect(throws: NestedError.self) { _ = try trainer.fit(Tiny.text(50), steps: 1, batch: 0) }
    #expect(try trainer.fit(Tiny.text(50), steps: 0).steps == 0)
  }

  @Test func fitReportsItsProgress() throws {
    let trainer = try Trainer(Tiny.model(), options)
    var seen: [Int] = []
    var losses: [Double] = []
    let control = RunControl { (stage, done, total, loss) throws(NestedError) in
      guard "\(stage)" == "fit", total == 5 else { throw NestedError(.internalError, "stage") }
      seen.append(done)
      losses.append(loss)
    }
    let result = try trainer.fit(Tiny.text(200), steps: 5, control)
    #expect(seen.first == 0 && seen.last == 5 && Set(seen) == Set(0...5))
    #expect(seen == seen.sorted())
    #expect(losses.last == result.last.loss)
  }

  @Test func cancellingLeavesWholeStepsAndCanBeContinued() throws {
    let text = Tiny.text(300)
    let whole = try Trainer(Tiny.model(), #"{"accumulate": 2, "seed": 4}"#)
    let broken = try Trainer(Tiny.model(), #"{"accumulate": 2, "seed": 4}"#)
    _ = try whole.fit(text, steps: 6)
    var calls = 0
    let control = RunControl { (_, done, _, _) throws(NestedError) in
      if done == 3 { calls += 1 }
      // Well inside the fourth step.
      if calls == 2 { throw NestedError(.cancelled, "stop") }
    }
    let error = #expect(throws: NestedError.self) { _ = try broken.fit(text, steps: 6, control) }
    #expect(error?.code == .cancelled)
    #expect(broken.lastFit.steps == 3)
    #expect(broken.counters.step == 3)
    _ = try broken.fit(text, steps: 3)
    #expect(try whole.everything == broken.everything)
  }

  @Test func fitDoesNotMixWithACollectedGradient() throws {
    let trainer = try Trainer(Tiny.model(), options)
    try trainer.collect(Rows(Tiny.text(14), batch: 2))
    let error = #expect(throws: NestedError.self) { _ = try trainer.fit(Tiny.text(50), steps: 1) }
    #expect(error?.code == .state)
    trainer.zero()
    #expect(throws: Never.self) { _ = try trainer.fit(Tiny.text(50), steps: 1) }
  }
}
