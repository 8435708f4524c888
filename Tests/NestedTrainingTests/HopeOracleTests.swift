import NestedModels
import NestedTensor
import NestedTraining
import Oracle
import Testing

/// The whole Hope against the float64 oracle: logits, loss, and the gradient of every parameter,
/// the memories' initial states included.
@Suite struct HopeOracleTests {
  @Test(arguments: OracleCase.all)
  func logitsAndGradientsAgree(_ c: OracleCase) throws {
    let o = c.options
    let values = o.randomParameters(seed: 61)
    var random = OracleRandom(62)
    let rows = (0..<2).map { _ in random.tokens(c.length, vocab: o.vocab) }
    let runs = rows.map { OracleHope.run(o, values, $0, gradients: true) }
    let model = try Model.matching(o, values)
    let logits = runs.flatMap { $0.logits.flatMap { $0 } }
    #expect(relativeError(try model.logits(rows: rows), logits) <= c.valueTolerance)
    let got = try model.gradients(rows: rows)
    let loss = runs.reduce(0) { $0 + $1.losses.reduce(0, +) }
    #expect(got.targets == Double(2 * (c.length - 1)))
    #expect(abs(got.lossSum - loss) <= c.valueTolerance * loss)
    compare(got.gradients, sum(runs), c.gradientTolerance)
  }

  /// Targets given by the caller, some of them missing, with weights.
  @Test(arguments: [false, true])
  func givenTargetsAndWeightsAgree(weighted: Bool) throws {
    var o = OracleOptions()
    (o.layers, o.heads, o.headDim, o.memoryChunk) = (2, 3, 5, 4)
    let values = o.randomParameters(seed: 71)
    var random = OracleRandom(72)
    let rows = (0..<3).map { _ in random.tokens(9, vocab: o.vocab) }
    let targets = (0..<27).map { $0 % 4 == 1 ? -1 : random.token(o.vocab) }
    let weights = weighted ? (0..<27).map { _ in Double(Float(random.uniform())) } : nil
    let runs = rows.indices.map { i in
      OracleHope.run(
        o, values, rows[i], targets: Array(targets[i * 9..<i * 9 + 9]),
        weights: weights.map { Array($0[i * 9..<i * 9 + 9]) }, gradients: true)
    }
    let model = try Model.matching(o, values)
    let got = try model.gradients(rows: rows, targets: targets, weights: weights)
    compare(got.gradients, sum(runs), 1e-4)
  }

  /// The default widths and initialisation, as long as SPEC 6 promises: T = 256.
  @Test func defaultsAgreeOver256Tokens() throws {
    var o = OracleOptions()
    (o.vocab, o.headDim, o.heads, o.layers) = (29, 64, 1, 2)
    o.levels = [.init(chunk: 64, hidden: 128), .init(chunk: 0, hidden: 128)]
    let model = try Model(
      runtime: Runtime(threads: 2), configuration: ModelConfiguration(json: o.configurationJSON),
      seed: 3)
    var random = OracleRandom(81)
    let tokens = random.tokens(256, vocab: o.vocab)
    let run = OracleHope.run(o, model.named, tokens, gradients: false)
    #expect(relativeError(try model.logits(rows: [tokens]), run.logits.flatMap { $0 }) <= 1e-5)
  }

  /// One thread or three, one row or many: logits and gradients of the same bits.
  @Test func threadsAndBatchesDoNotChangeTheBits() throws {
    var o = OracleOptions()
    (o.layers, o.heads, o.headDim, o.vocab) = (2, 3, 8, 40)
    let values = o.randomParameters(seed: 91)
    var random = OracleRandom(92)
    let rows = (0..<5).map { _ in random.tokens(40, vocab: o.vocab) }
    let one = try Model.matching(o, values, threads: 1)
    let three = try Model.matching(o, values, threads: 3)
    let logits = try one.logits(rows: rows)
    #expect(try three.logits(rows: rows) == logits)
    #expect(try rows.flatMap { try three.logits(rows: [$0]) } == logits)
    #expect(try one.gradients(rows: rows).gradients == three.gradients(rows: rows).gradients)
  }

  /// The third form: a stream, token by token and in pieces.
  @Test(arguments: OracleCase.all)
  func streamsAgree(_ c: OracleCase) throws {
    let o = c.options
    let values = o.randomParameters(seed: 101)
    var random = OracleRandom(102)
    let tokens = random.tokens(c.length, vocab: o.vocab)
    let model = try Model.matching(o, values)
    let run = OracleHope.run(o, values, tokens, gradients: false)
    let single = try Session(model: model, learn: .memory, seed: 0).read(tokens, pieces: [1])
    #expect(relativeError(single.map { Double($0) }, run.logits.flatMap { $0 }) <= c.valueTolerance)
    for pieces in [[64], [3, 1, 7]] {
      let again = try Session(model: model, learn: .memory, seed: 0).read(tokens, pieces: pieces)
      #expect(again.map(\.bitPattern) == single.map(\.bitPattern))
    }
  }

  private func sum(_ runs: [OracleRun]) -> [String: [Double]] {
    var total = runs[0].gradients
    for run in runs.dropFirst() {
      for (name, g) in run.gradients { total[name] = zip(total[name]!, g).map { $0 + $1 } }
    }
    return total
  }

  /// Each tensor within the tolerance, up to a share of the whole gradient that rounding alone can
  /// make.
  private func compare(
    _ got: [String: [Double]], _ expected: [String: [Double]], _ tolerance: Double
  ) {
    let names = expected.keys.sorted()
    let all = names.flatMap { expected[$0]! }
    #expect(relativeError(names.flatMap { got[$0]! }, all) <= tolerance)
    let size = all.reduce(0) { $0 + $1 * $1 }.squareRoot()
    for name in names {
      let difference = zip(got[name]!, expected[name]!).reduce(0) {
        $0 + ($1.0 - $1.1) * ($1.0 - $1.1)
      }
      .squareRoot()
      let norm = expected[name]!.reduce(0) { $0 + $1 * $1 }.squareRoot()
      #expect(
        difference <= tolerance * norm + 1e-6 * size,
        "gradient of \(name): \(difference) of \(norm)")
    }
  }
}
