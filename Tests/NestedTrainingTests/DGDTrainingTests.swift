import NestedBase
import NestedLearning
import NestedModels
import NestedTensor
import Testing

@testable import NestedTraining

/// How a layer's mean input comes to `dgd`, in the trainer and in a session.
@Suite struct DGDTrainingTests {
  private let options = #"{"optimizer": "dgd", "lr": 0.5, "weight_decay": 0, "clip": 0, "schedule": {"type": "constant"}}"#

  private func dgd(_ w: [Float], _ g: [Double], _ x: [Double], lr: Double) -> [Float] {
    let columns = x.count
    let rate = lr / (1 + lr * x.reduce(0) { $0 + $1 * $1 })
    return w.indices.map { k in
      let (i, j) = (k / columns, k % columns)
      let y = (0..<columns).reduce(0) { $0 + Double(w[i * columns + $1]) * x[$1] }
      return Float(Double(w[k]) - rate * (y * x[j] + g[k]))
    }
  }

  private func inputOffset(_ layout: ParameterLayout, _ entry: ParameterEntry) -> Int {
    layout.entries.filter { $0.offset < entry.offset }.reduce(0) { $0 + $1.inputCount }
  }

  /// The first projection reads RMSNorm(embed[token]), whatever the model does after it; a token without a target counts.
  @Test(arguments: [1, 3]) func theFirstProjectionSeesTheMeanOfItsInputs(batches: Int) throws {
    let model = try Tiny.model()
    let trainer = try Trainer(model, options)
    let entry = try #require(model.layout.entries.first { $0.name == "blocks.0.mixer.q.weight" })
    let before = try model.weights
    let width = 16
    var x = [Double](repeating: 0, count: width)
    for batch in 0..<batches {
      let tokens = Tiny.text(30, seed: UInt64(batch))
      try trainer.collect(Rows(tokens, batch: 3))
      for token in tokens {
        let row = before[Int(token) * width..<(Int(token) + 1) * width].map { Double($0) }
        let root = (row.reduce(0) { $0 + $1 * $1 } / Double(width) + 1e-6).squareRoot()
        for j in 0..<width { x[j] += row[j] / root / Double(30 * batches) }
      }
    }
    let targets = trainer.targets[0]
    #expect(targets == Double(27 * batches))
    let range = entry.offset..<entry.offset + entry.count
    let g = range.map { Double(trainer.gradientStorage.floats[$0]) / targets }
    #expect(x.reduce(0) { $0 + $1 * $1 } > 0.1)
    _ = try trainer.apply(control: quiet)
    let after = try model.weights
    #expect(relativeError(Array(after[range]), dgd(Array(before[range]), g, x, lr: 0.5)) < 1e-6)
    // A slow level waits, with its inputs.
    #expect(trainer.gradientStorage.values(trainer.gradientCount + trainer.plan.inputCount).allSatisfy { $0 == 0 })
    let slow = try #require(model.layout.entries.first { $0.name == "blocks.1.cms.1.up.weight" })
    let waiting = trainer.pending.floats + trainer.plan.pendingCount + inputOffset(model.layout, slow)
    #expect((0..<16).contains { waiting[$0] != 0 } == (batches == 1))
  }

  /// Two batches that make a slow level step are the mean over both.
  @Test func aSlowLevelStepsWithTheMeanOfAllItsInputs() throws {
    let whole = try Trainer(Tiny.model(), options)
    let parts = try Trainer(Tiny.model(), options)
    // Only the slow level moves, so both see the same model.
    let text = Tiny.text(48)
    for trainer in [whole, parts] {
      trainer.options.groups = [
        .init(pattern: "*", lr: 0), .init(pattern: "blocks.*.cms.1.*", lr: 0.5),
      ]
      trainer.plan = try UpdatePlan(layout: trainer.model.layout, periods: Tiny.periods, options: trainer.options)
    }
    _ = try whole.step(Rows(text, batch: 4))
    _ = try parts.step(Rows(Array(text[..<24]), batch: 2))
    _ = try parts.step(Rows(Array(text[24...]), batch: 2))
    #expect(whole.counters.clock.steps[1] == 1 && parts.counters.clock.steps[1] == 1)
    #expect(relativeError(try parts.model.weights, try whole.model.weights) < 1e-6)
    #expect(parts.pending.values(parts.plan.pendingCount + parts.plan.inputCount).allSatisfy { $0 == 0 })
  }

  /// The first online update of a level, from what a trainer collects over the same tokens.
  @Test func aLevelsFirstUpdateReadsTheMeanOfItsChunk() throws {
    func session(_ optimizer: LevelOptimizer) throws -> Session {
      var configuration = Tiny.configuration()
      for l in 0..<2 {
        configuration.cms.levels[l].optimizer = optimizer
        configuration.cms.levels[l].lr = 0.05
      }
      let model = try Model(runtime: Runtime(threads: 1), configuration: configuration, seed: 5)
      return try Session(model: model, learn: .on, seed: 0)
    }
    let tokens = Tiny.text(9)
    let (delta, plain) = (try session(.dgd), try session(.sgd))
    for session in [delta, plain] {
      try tokens.withUnsafeBufferPointer {
        _ = try session.feed(
          tokens: Tokens($0.baseAddress!), count: 9, logits: nil, lastOnly: true, control: quiet)
      }
    }
    #expect(delta.updates == 2)
    let trainer = try Trainer(delta.model.clone(), options)
    try trainer.collect(Rows(Array(tokens[..<8]), batch: 1))
    for name in ["blocks.0.cms.0.up.weight", "blocks.1.cms.0.down.weight"] {
      let layout = delta.model.layout
      let entry = layout.entries[try #require(layout.index(of: name))]
      let columns = entry.shape[1]
      let sums = trainer.gradientStorage.floats + trainer.gradientCount + inputOffset(layout, entry)
      let x = (0..<columns).map { Double(sums[$0]) / 7 }
      func online(_ session: Session) throws -> (now: [Float], start: [Float]) {
        var out: (now: [Float], start: [Float]) = ([], [])
        try session.withOnlineWeights(entry) { now, _, start, _ in
          out = ((0..<entry.count).map { now[$0] }, (0..<entry.count).map { start[$0] })
        }
        return out
      }
      let (got, sgd) = (try online(delta), try online(plain))
      let g = sgd.now.indices.map { (Double(sgd.start[$0]) - Double(sgd.now[$0])) / 0.05 }
      #expect(relativeError(got.now, dgd(got.start, g, x, lr: 0.05)) < 1e-6, "\(name)")
      #expect(relativeError(got.now, sgd.now) > 1e-4, "\(name)")
    }
  }
}
