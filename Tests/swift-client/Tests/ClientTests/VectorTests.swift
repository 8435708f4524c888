import Foundation
import Nested
import Testing

/// Models that read vectors: labels, numbers, teaching, predicting, labels that are new.
@Suite struct VectorTests {
  private func classifier() throws -> Model {
    try Model(
      Configuration([
        "kind": "cms", "task": "classify", "inputs": 3, "classes": 2, "d_model": 16, "n_layers": 1,
        "cms": ["levels": [["chunk": 4, "hidden": 16, "lr": 0.05], ["chunk": 0, "hidden": 16]]],
      ]), seed: 7, in: Context(threads: 1))
  }

  /// Rows of `length` vectors around the centre of their class, one of two from `first` on.
  private func rows(_ first: Int, _ count: Int, length: Int = 1) throws -> Batch {
    let vectors = (0..<count * length).flatMap { i in
      let label = first + i / length % 2
      return (0..<3).map { j in
        Float((label * 7 + j * 5 + label * j * 3) % 9) / 4 - 1 + Float(i % 5) / 40
      }
    }
    return try Batch(
      rows: count, length: length, vectors: vectors,
      labels: (0..<count).map { Int32(first + $0 % 2) })
  }

  @Test func batchesAreChecked() throws {
    for (place, body) in [
      ("vectors", { try Batch(rows: 2, length: 1, vectors: [1, 2, 3]) }),
      ("vectors", { try Batch(rows: 0, length: 1, vectors: []) }),
      (
        "labels",
        { try Batch(rows: 2, length: 3, vectors: [Float](repeating: 1, count: 12), labels: [1]) }
      ),
      ("weights", { try Batch(rows: 1, length: 2, vectors: [1, 2], weights: [1, 2, 3]) }),
      ("values", { try Batch(rows: 1, length: 1, vectors: [1], values: [1, 2, 3], outputs: 2) }),
    ] as [(String, () throws -> Batch)] {
      let error = try failure(body)
      #expect(error.status == .shape && error.place == place)
    }
  }

  @Test func aModelIsTrainedOnLabelledRows() throws {
    let model = try classifier()
    let info = try model.info
    #expect(info.task == .classify && info.vocab == 0 && info.inputs == 3 && info.outputs == 2)
    let batch = try rows(0, 8, length: 2)
    let trainer = try Trainer(model, options: steady)
    let before = try trainer.step(batch).loss
    for _ in 0..<60 { try trainer.step(batch) }
    let after = try model.evaluate(batch)
    #expect(after.loss < before && after.accuracy == 1 && after.targets == 8)
    #expect(try model.forwardRows(batch).shape == [8, 2])
    #expect(try model.forward(batch).shape == [8, 2, 2])
    let positions = try Batch(
      rows: 2, length: 2, vectors: [Float](repeating: 0.5, count: 12),
      labels: [0, 1, Batch.ignored, 1], weights: [1, 2, 1, 0.5])
    #expect(try model.evaluate(positions).targets == 3.5)
  }

  @Test func aSessionIsTaughtAndLearnsNewLabels() throws {
    let model = try classifier()
    let weights = try model.parameters
    let session = try Session(model, learn: .on)
    let first = try session.teach(rows(0, 8))
    for _ in 0..<40 { try session.teach(rows(0, 8)) }
    #expect(try session.teach(rows(0, 8)).loss < first.loss)
    try session.teach(rows(5, 2))
    let info = try session.info
    #expect(info.outputs == 7 && info.position == 42 * 8 + 2)
    let asked = try rows(0, 4, length: 3)
    let answers = try session.predict(asked)
    #expect(answers.shape == [4, 7])
    #expect(try session.predictPositions(asked).shape == [4, 3, 7])
    #expect(try session.info == info)
    #expect(try model.parameters == weights)

    let levels = try session.levels
    #expect(levels.count == 3 && levels[2].layer == 1 && levels[2].level == 0)
    #expect(levels[2].updates > 0 && levels[2].deltaNorm > 0)
    try withFolder { folder in
      try session.save(to: folder + "s")
      let loaded = try Session(contentsOf: folder + "s", model: model)
      #expect(try loaded.predict(asked) == answers)
      let fork = try session.fork()
      for other in [loaded, fork] { try other.teach(rows(5, 4)) }
      #expect(try loaded.predict(asked) == fork.predict(asked))
    }
    #expect(try model.consolidating([session]).info.outputs == 7)
  }

  @Test func vectorsAreFedHoweverTheyAreCut() throws {
    let model = try classifier()
    let vectors = (0..<30 * 3).map { Float($0 * 7 % 11) / 11 }
    let (whole, cut) = (try Session(model, learn: .on), try Session(model, learn: .on))
    let all = try #require(try whole.feed(vectors: vectors, logits: .all).logits)
    #expect(all.shape == [30, 2])
    #expect(try cut.feed(vectors: Array(vectors[..<21])).consumed == 7)
    let last = try cut.feed(vectors: Array(vectors[21...]), logits: .last)
    #expect(last.logits?.values == Array(all[row: 29]))
    #expect(try cut.output == Array(all[row: 29]))
    #expect(try failure { try cut.feed(vectors: [1]) }.status == .shape)
    #expect(try failure { try cut.feed(vectors: [.nan, 0, 0]) }.status == .numeric)
    #expect(try failure { try Session(makeModel()).feed(vectors: [1]) }.status == .unsupported)
  }

  @Test func numbersAreLearntToo() throws {
    let model = try Model(
      Configuration([
        "kind": "cms", "task": "regress", "inputs": 2, "outputs": 2, "d_model": 16, "n_layers": 1,
        "cms": ["levels": [["chunk": 4, "hidden": 16, "lr": 0.02]]],
      ]), seed: 7, in: Context(threads: 1))
    let batch = try Batch(
      rows: 2, length: 1, vectors: [0, 1, 1, 0], values: [1, -1, .nan, 0.5], outputs: 2)
    let session = try Session(model, learn: .on)
    let before = try session.teach(batch)
    #expect(before.accuracy.isNaN && before.perplexity.isNaN)
    for _ in 0..<200 { try session.teach(batch) }
    #expect(try session.teach(batch).loss < before.loss / 2)
    #expect(try session.predict(batch).shape == [2, 2])
  }
}
