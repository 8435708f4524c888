import NestedBase
import NestedModels
import NestedTensor
import NestedTraining
import Oracle
import Testing

/// What is special about the kind `titans`.
@Suite struct TitansTests {
  private func model(_ titans: String, width: Int = 32) throws -> Model {
    let json = #"{"kind":"titans","vocab":23,"d_model":\#(width),"n_layers":2,"titans":{\#(titans)}}"#
    return try Model(runtime: Runtime(threads: 2), configuration: ModelConfiguration(json: json), seed: 7)
  }

  /// One token for ever, two in turn, and noise, at initial weights and after training.
  @Test(arguments: [#""memory":"linear""#, "", #""mode":"mag""#, #""mode":"mal""#, #""mode":"mac""#])
  func longStreamsStayFinite(_ titans: String) throws {
    let model = try model(titans)
    let trainer = try Trainer(model: model, options: Array("{}".utf8))
    for trained in [false, true] {
      if trained {
        let text = (0..<3000).map { Int32(($0 * $0 / 7 + $0) % 11) }
        #expect(try trainer.fit(text, steps: 60, batch: 4, length: 128).skipped == 0)
      }
      var random = OracleRandom(8)
      let texts = [
        [Int](repeating: 3, count: 3000), (0..<3000).map { $0 % 2 }, random.tokens(3000, vocab: 23),
      ]
      for text in texts {
        let logits = try Session(model: model, learn: .memory, seed: 0).read(text)
        #expect(logits.allSatisfy { $0.isFinite && $0.magnitude < 1000 })
      }
    }
  }

  /// Over many tokens the recurrence passes gradients on without blowing them up, also once it has learnt to write.
  @Test(arguments: [#""memory":"linear""#, "", #""mode":"mac""#])
  func gradientsOverManyTokensStayModerate(_ titans: String) throws {
    let model = try model(titans, width: 64)
    let text = (0..<6000).map { Int32(($0 * $0 / 7 + $0) % 11) }
    let trainer = try Trainer(model: model, options: Array("{}".utf8))
    #expect(try trainer.fit(text, steps: 60, batch: 2, length: 256).skipped == 0)
    let got = try model.gradients(rows: [text[100..<612].map { Int($0) }])
    let norm = got.gradients.values.joined().reduce(0) { $0 + $1 * $1 }.squareRoot() / 511
    #expect(norm < 20, "\(norm)")
  }

  /// Mode off: memories keep their values, and a stream that goes on in `memory` writes again.
  @Test(arguments: [#""memory":"linear","chunk":4"#, ""])
  func offKeepsTheMemories(_ titans: String) throws {
    let model = try model(titans, width: 16)
    func recurrent(_ writes: Bool) throws -> (before: [Float], after: [Float], logits: [Float]) {
      let engine = try model.runtime.checkOut()
      defer { model.runtime.checkIn(engine) }
      let state = try engine.empty(Shape(model.network.stateSize))
      let tokens: [Int32] = [1, 5, 2, 2, 9, 11]
      return try model.withParameters { (p, _) throws(NestedError) in
        model.network.initialize(state.floats, p)
        let before = state.array
        let logits = try unsafe tokens.withUnsafeBufferPointer { (buffer) throws(NestedError) in
          try model.network.logits(
            engine, p, tokens: Tokens(buffer.baseAddress!), batch: 1, length: tokens.count,
            stream: Stream(
              state: state.floats, rows: nil, capacity: 0, firstRow: 0, position: 0, writes: writes))
        }
        return (before, state.array, logits.array)
      }
    }
    let off = try recurrent(false), on = try recurrent(true)
    let layer = model.network.stateSize / 2, size = layer - 9 * 16
    func memories(_ state: [Float]) -> [Float] {
      (0..<2).flatMap { state[$0 * layer + 9 * 16..<($0 + 1) * layer] }
    }
    #expect(size > 0 && off.logits != on.logits)
    #expect(memories(on.before) != memories(on.after))
    // A chunk's start is noted also where nothing is written; weights and momentum are as they were.
    for (a, b) in zip(memories(off.before), memories(off.after)) where a != 0 { #expect(a == b) }
    #expect(off.before[..<(9 * 16)] != off.after[..<(9 * 16)])
  }
}
