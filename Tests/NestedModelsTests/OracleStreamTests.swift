import Oracle
import Testing

/// The oracle's session and trainer against its own plain run: what may be said without either clock.
@Suite struct OracleStreamTests {
  private func options() -> OracleOptions {
    var o = OracleOptions()
    o.vocab = 7
    o.headDim = 4
    o.layers = 2
    (o.memoryChunk, o.projectionChunk) = (3, 2)
    o.levels = [
      .init(chunk: 4, hidden: 5, lr: 0.1, clip: 0.5), .init(chunk: 8, hidden: 4, lr: 0.2, clip: 0),
    ]
    return o
  }

  @Test func memoryModeEqualsOneRun() {
    let o = options()
    let values = o.randomParameters(seed: 1)
    var random = OracleRandom(2)
    let tokens = random.tokens(21, vocab: o.vocab)
    var session = OracleSession(o, values, mode: .memory)
    #expect(session.feed(tokens) == OracleHope.run(o, values, tokens, gradients: false).logits)
    #expect(session.values == values)
  }

  /// After the fifth token the first level has moved by the clipped gradient of the first four losses, and
  /// nothing else has; the ninth token finds the second level moved as well.
  @Test func firstUpdateIsTheGradientOfTheFirstChunk() {
    let o = options()
    let values = o.randomParameters(seed: 3)
    var random = OracleRandom(4)
    let tokens = random.tokens(9, vocab: o.vocab)
    var session = OracleSession(o, values, mode: .on)
    _ = session.feed(Array(tokens[..<4]))
    #expect(session.values == values)
    _ = session.feed([tokens[4]])
    let run = OracleHope.run(
      o, values, Array(tokens[..<4]), targets: Array(tokens[1..<5]), gradients: true)
    for layer in 0..<2 {
      let names = ["norm", "gate", "up", "down"].map { "blocks.\(layer).cms.0.\($0).weight" }
      let norm = globalNorm(run.gradients.filter { names.contains($0.key) })
      let scale = 0.1 * min(1, 0.5 / norm)
      for name in names {
        let goal = zip(values[name]!, run.gradients[name]!).map { $0 - scale * $1 }
        #expect(relativeError(session.values[name]!, goal) < 1e-12)
      }
    }
    #expect(
      session.values.filter { !$0.key.contains(".cms.0.") }
        == values.filter { !$0.key.contains(".cms.0.") })
    _ = session.feed(Array(tokens[5..<8]))
    #expect(session.levels.map { $0.map(\.updates) } == [[1, 0], [1, 0]])
    _ = session.feed([tokens[8]])
    #expect(session.levels.map { $0.map(\.updates) } == [[2, 1], [2, 1]])
  }

  /// A level with period C steps after the batch that brings its targets to C, with the mean over them.
  @Test func slowLevelStepsWithTheMeanOverItsTargets() {
    let o = options()  // periods 4 and 8; a row of 5 tokens has 4 targets
    let values = o.randomParameters(seed: 5)
    var random = OracleRandom(6)
    let rows = (0..<2).map { _ in random.tokens(5, vocab: o.vocab) }
    var trainer = OracleTrainer(o, values, rule: .sgd, clip: 0)
    trainer.accumulate([rows[0]])
    #expect(trainer.apply(lr: 0.1).levels == [0])
    let name = "blocks.1.cms.1.up.weight"
    #expect(trainer.values[name] == values[name])
    let between = trainer.values
    trainer.accumulate([rows[1]])
    #expect(trainer.apply(lr: 0.1).levels == [0, 1])
    let first = OracleHope.run(o, values, rows[0], gradients: true).gradients[name]!
    let second = OracleHope.run(o, between, rows[1], gradients: true).gradients[name]!
    let goal = values[name]!.indices.map { values[name]![$0] - 0.1 * (first[$0] + second[$0]) / 8 }
    #expect(relativeError(trainer.values[name]!, goal) < 1e-12)
  }
}
