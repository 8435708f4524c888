import NestedBase
import NestedTensor
import Oracle
import Testing

@Suite struct TokenOpTests {
  /// Rows without a target have a loss of zero and no gradient; the sum is that of the rows, in Double.
  @Test func crossEntropyReportsEveryRow() throws {
    let engine = try Engine.test()
    let (rows, vocab) = (9, 17)
    var random = OracleRandom(3)
    let values = (0..<rows * vocab).map { _ in Float(4 * random.normal()) }
    let targets = Fixed.tokens(rows, below: vocab, holes: true), weights = Fixed.floats(rows)
    let tape = Tape()
    engine.tape = tape
    let logits = tape.variable(try engine.tensor(values, Shape(rows, vocab)))
    let result = try engine.crossEntropy(logits, targets, weights: weights)
    try tape.backward(engine, from: result.loss, seed: try engine.full(Shape(1), 1))
    engine.tape = nil
    let gradient = try #require(tape.gradient(logits)).array
    var sum = 0.0
    for row in 0..<rows {
      let nll = Double(result.nll.floats[row])
      let slice = gradient[row * vocab..<(row + 1) * vocab]
      if targets[row] < 0 {
        #expect(nll == 0 && slice.allSatisfy { $0 == 0 })
        continue
      }
      let logit = values[row * vocab..<(row + 1) * vocab].map(Double.init)
      let expected = logOf(logit.reduce(0) { $0 + expOf($1) }) - logit[Int(targets[row])]
      #expect((nll - expected).magnitude <= 1e-5 * (1 + expected.magnitude))
      #expect(slice.reduce(0, +).magnitude < 1e-5)
      sum += nll * Double(weights[row])
    }
    #expect((result.sum - sum).magnitude <= 1e-12 * sum.magnitude)
    #expect(result.loss.array == [Float(result.sum)])
  }

  /// Logits far from zero: the largest is subtracted before exp.
  @Test func crossEntropyDoesNotOverflow() throws {
    let engine = try Engine.test()
    let logits = try engine.tensor([1000, 999, -1000, -1e30, 0, 1e30], Shape(2, 3))
    let tokens: [Int32] = [0, 2]
    try tokens.withUnsafeBufferPointer { list in
      let result = try engine.crossEntropy(logits, Tokens(list.baseAddress!))
      #expect((result.nll.floats[0] - 0.313_261_7).magnitude < 1e-5 && result.nll.floats[1] == 0)
    }
  }
}
