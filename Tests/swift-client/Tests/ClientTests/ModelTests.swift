import Nested
import Testing

@Suite struct ModelTests {
  @Test func infoAndTensorsAgree() throws {
    let model = try makeModel()
    let (info, tensors, parameters) = (try model.info, try model.tensors, try model.parameters)
    #expect(info.vocab == 256 && info.dModel == 32 && info.layers == 2 && info.levels == 3)
    #expect(info.tensors == tensors.count && info.parameters == parameters.count)
    #expect(info.weightBytes >= 4 * info.parameters)
    #expect(tensors.map(\.index) == Array(0..<tensors.count))
    #expect(tensors.reduce(0) { $0 + $1.count } == info.parameters)
    #expect(tensors.contains { $0.name.contains("cms") && $0.layer == 1 && $0.level == 2 })
    #expect(tensors.contains { $0.layer == nil && $0.level == nil })
    for tensor in tensors {
      let value = try model.tensor(named: tensor.name)
      #expect(value.shape == tensor.shape)
      #expect(
        value.values == Array(parameters[tensor.flatOffset..<tensor.flatOffset + tensor.count]))
    }
  }

  @Test func equalSeedsAreEqualModels() throws {
    #expect(try makeModel().parameters == makeModel(threads: 2).parameters)
    #expect(try makeModel().parameters != makeModel(seed: 2).parameters)
    #expect(try makeModel().info.fingerprint == makeModel(seed: 2).info.fingerprint)
  }

  @Test func tensorsAreWritten() throws {
    let model = try makeModel()
    let clone = try model.clone()
    let info = try #require(model.tensors.first { $0.shape.count == 2 })
    var tensor = try model.tensor(named: info.name)
    for index in tensor.values.indices { tensor.values[index] *= 2 }
    let version = try model.info.version
    try model.setTensor(named: info.name, to: tensor)
    #expect(try model.tensor(named: info.name) == tensor && model.info.version > version)
    #expect(try clone.parameters == makeModel().parameters)
    tensor.values[0] = .infinity
    #expect(try failure { try model.setTensor(named: info.name, to: tensor) }.status == .numeric)
    #expect(try failure { try model.tensor(named: "no.such") }.status == .notFound)
    try model.setParameters(clone.parameters)
    #expect(try model.parameters == clone.parameters)
  }

  @Test func filesAndBytesAreTheModel() throws {
    let model = try makeModel()
    try withFolder { folder in
      try model.save(to: folder + "m", sync: false)
      let loaded = try Model(contentsOf: folder + "m", in: Context(threads: 1))
      #expect(try loaded.parameters == model.parameters)
      #expect(try loaded.configuration == model.configuration)
    }
    let bytes = try model.bytes
    #expect(try Model(bytes: bytes, in: Context(threads: 1)).bytes == bytes)
    let error = try failure { try Model(bytes: Array(bytes.dropLast()), in: Context(threads: 1)) }
    #expect(error.status == .corrupt)
  }

  @Test func evaluationIsTheLossOfTheLogits() throws {
    let model = try makeModel()
    let batch = try Batch([text(12), text(7, "abc")])
    #expect(batch.rows == 2 && batch.length == 12 && batch.targets?[18] == Batch.ignored)
    let evaluation = try model.evaluate(batch)
    #expect(evaluation.targets == 11 + 6)
    let logits = try model.forward(batch)
    #expect(logits.shape == [2, 12, 256])
    var loss = 0.0
    for (row, length) in [(0, 12), (1, 7)] {
      let session = try Session(model)
      let tokens = Array(batch.tokens[row * 12..<row * 12 + length])
      loss -= try session.score(tokens).sum
    }
    #expect(abs(evaluation.loss - loss / 17) < 1e-5)
    #expect(abs(evaluation.perplexity - 2.718281828459045.power(evaluation.loss)) < 1e-3)
  }

  @Test func weightsAndTargetsCount() throws {
    let model = try makeModel()
    let tokens = text(8)
    let targets: [Int32] = [1, 2, Batch.ignored, 3, 4, 5, 6, 7]
    let plain = try Batch(rows: 2, length: 4, tokens: tokens, targets: targets)
    #expect(try model.evaluate(plain).targets == 7)
    let weighted = try Batch(
      rows: 2, length: 4, tokens: tokens, targets: targets,
      weights: [0.5, 0, 1, 0, 0, 0, 0, 0])
    #expect(try model.evaluate(weighted).targets == 0.5)
    #expect(
      try failure { try Batch(rows: 2, length: 4, tokens: tokens, targets: [1]) }.place == "targets"
    )
    #expect(try failure { try Batch(rows: 3, length: 4, tokens: tokens) }.status == .shape)
    let one = try Batch(rows: 1, length: 1, tokens: [1])
    #expect(try model.evaluate(one).loss.isNaN)
  }

  @Test func consolidationMovesWhatWasLearnt() throws {
    let model = try makeModel()
    let before = try model.parameters
    let sessions = try ["ann likes pears. ", "ben likes boats. "].map {
      let session = try Session(model, learn: .on)
      try session.feed(text(200, $0))
      return session
    }
    func distance(_ a: [Float], _ b: [Float]) -> Float {
      zip(a, b).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }.squareRoot()
    }
    let merged = try model.consolidating(sessions)
    let whole = try distance(merged.parameters, before)
    #expect(whole > 0)
    #expect(try model.parameters == before)
    let half = try model.consolidating(sessions, strength: 0.5)
    #expect(abs(try distance(half.parameters, before) / whole - 0.5) < 1e-3)
    #expect(try model.consolidating(sessions, levels: [2]).parameters == before)
    #expect(try model.consolidating(sessions, levels: [0, 1]).parameters == merged.parameters)
    let one = try model.consolidating(sessions, weights: [1, 0])
    #expect(try one.parameters == model.consolidating([sessions[0]]).parameters)
    #expect(try failure { try model.consolidating(sessions, weights: [-1, 2]) }.status == .range)
    let clipped = try model.consolidating(sessions, maxNorm: 1e-4)
    #expect(try distance(clipped.parameters, before) < whole)
    let other = try Session(
      Model(Configuration(description).replacing(["/segment": 8]), in: Context(threads: 1)))
    #expect(try failure { try model.consolidating([other]) }.status == .mismatch)
  }
}

extension Double {
  fileprivate func power(_ exponent: Double) -> Double {
    var (result, term) = (1.0, 1.0)
    for n in 1...200 {
      term *= exponent / Double(n)
      result += term
    }
    return result
  }
}
