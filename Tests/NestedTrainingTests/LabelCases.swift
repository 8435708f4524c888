import NestedBase
import NestedModels
import NestedTensor
import Oracle

@testable import NestedTraining

/// A configuration with the task classify or regress, and the oracle's mixer for it.
struct LabelCase: Sendable, CustomStringConvertible {
  let name: String
  let json: String
  let layers: Int
  var mixer: @Sendable ([String: [Num]], ScalarTape) -> any OracleStreamMixer = { _, _ in
    preconditionFailure("kind cms has no mixer")
  }
  var description: String { name }

  static let width = 16, inputs = 5, vocab = 23
  var sizes: OracleNetwork.Sizes {
    var sizes = OracleNetwork.Sizes()
    (sizes.vocab, sizes.width, sizes.layers) = (LabelCase.vocab, LabelCase.width, layers)
    return sizes
  }
  var readsVectors: Bool { layers == 0 }
  var regresses: Bool { json.contains("regress") }

  func model(threads: Int = 1, seed: UInt64 = 71) throws -> Model {
    let model = try Model(
      runtime: Runtime(threads: threads), configuration: ModelConfiguration(json: json), seed: 1)
    var random = OracleRandom(seed)
    try model.withMutableWeights { w in
      for entry in model.layout.entries {
        let isNorm = entry.name.hasSuffix("norm.weight")
        let deviation = isNorm ? 0.2 : 1 / Double(entry.shape.last ?? 1).squareRoot()
        for i in 0..<entry.count { w[entry.offset + i] = Float((isNorm ? 1 : 0) + deviation * random.normal()) }
      }
    }
    return model
  }

  /// `labels`: ids are below it.
  func rows(_ count: Int, length: Int, perRow: Bool, labels: Int, seed: UInt64) -> [OracleRow] {
    var random = OracleRandom(seed)
    return (0..<count).map { _ in
      var row = OracleRow(
        readsVectors
          ? .vectors((0..<length).map { _ in (0..<LabelCase.inputs).map { _ in Double(Float(random.normal())) } })
          : .tokens(random.tokens(length, vocab: LabelCase.vocab)))
      row.perRow = perRow
      let places = perRow ? 1 : length
      if regresses {
        row.numbers = (0..<places).map { _ in
          (0..<2).map { _ in random.token(5) == 0 ? nil : Double(Float(random.normal())) }
        }
      } else {
        row.classes = (0..<places).map { _ in random.token(5) == 0 ? nil : random.token(labels) }
      }
      return row
    }
  }

  private static func cms(_ name: String, _ more: String) -> LabelCase {
    LabelCase(name: name, json: #"{"kind":"cms","inputs":5,"d_model":16,\#(more)}"#, layers: 0)
  }

  static let all: [LabelCase] = [
    cms("cms", #""classes":3,"cms":{"levels":[{"chunk":1,"hidden":12,"lr":0.05},{"chunk":4,"hidden":9},{"chunk":0,"hidden":8}]}"#),
    cms(
      "cms, nested",
      #""classes":3,"cms":{"variant":"nested","levels":[{"chunk":2,"hidden":12,"lr":0.05,"optimizer":"momentum"},{"chunk":6,"hidden":9,"lr":0.02}]},"head":{"chunk":3}"#),
    cms(
      "cms, independent, adamw",
      #""classes":2,"cms":{"variant":"independent","mlp":"gelu","levels":[{"chunk":2,"hidden":12,"optimizer":"adamw"},{"chunk":4,"hidden":9}]},"head":{"chunk":2,"optimizer":"adamw","lr":0.01}"#),
    cms(
      "cms, regress",
      #""task":"regress","outputs":2,"cms":{"levels":[{"chunk":2,"hidden":12,"lr":0.05}]},"head":{"optimizer":"momentum","lr":0.02,"clip":0.5}"#),
    LabelCase(
      name: "hope-attention, classify",
      json: #"{"kind":"hope-attention","task":"classify","classes":3,"vocab":23,"d_model":16,"n_layers":2,"head_dim":8,"cms":{"levels":[{"chunk":8,"hidden":12,"lr":0.05},{"chunk":16,"hidden":9}]},"head":{"chunk":8}}"#,
      layers: 2,
      mixer: { p, _ in OracleAttention(.init(heads: 2, kvHeads: 2, headDim: 8), p, width: 16) }),
    LabelCase(
      name: "transformer, regress",
      json: #"{"kind":"transformer","task":"regress","outputs":2,"vocab":23,"d_model":16,"n_layers":2,"head_dim":8,"d_ff":24}"#,
      layers: 2, mixer: { p, _ in OracleAttention(.init(headDim: 8), p, width: 16) }),
    LabelCase(
      name: "retnet, classify",
      json: #"{"kind":"retnet","task":"classify","classes":4,"vocab":23,"d_model":16,"n_layers":2,"head_dim":8}"#,
      layers: 2, mixer: { p, _ in OracleRetention(p, width: 16, heads: 2) }),
  ]
}

/// Rows in the library's hands.
struct LabelledRows {
  let input: NetworkInput
  let labels: Labels
  let count: Int, length: Int
  private let storages: [Storage]

  init(_ rows: [OracleRow], weights: [Float]? = nil) throws {
    let budget = MemoryBudget()
    func storage(_ values: [Float]) throws -> Storage {
      let storage = try Storage(count: max(1, values.count), budget: budget)
      for (i, value) in values.enumerated() { storage.floats[i] = value }
      return storage
    }
    /// Integers in a storage that holds nothing else.
    func tokens(_ values: [Int32]) throws -> (Tokens, Storage) {
      let storage = try storage(values.map { Float(bitPattern: UInt32(bitPattern: $0)) })
      let raw = UnsafeRawPointer(storage.floats.pointer)
      return (Tokens(raw.assumingMemoryBound(to: Int32.self)), storage)
    }
    var keep: [Storage] = []
    count = rows.count
    length = rows[0].count
    switch rows[0].input {
    case .tokens:
      let all = rows.flatMap { row -> [Int32] in
        guard case .tokens(let tokens) = row.input else { return [] }
        return tokens.map { Int32($0) }
      }
      let (list, own) = try tokens(all)
      input = .tokens(list)
      keep.append(own)
    case .vectors:
      let all = rows.flatMap { row -> [Float] in
        guard case .vectors(let vectors) = row.input else { return [] }
        return vectors.flatMap { $0.map { Float($0) } }
      }
      keep.append(try storage(all))
      input = .vectors(keep[0].floats)
    }
    let given = try weights.map(storage)
    if let given { keep.append(given) }
    if rows[0].numbers.isEmpty {
      let (list, own) = try tokens(rows.flatMap { $0.classes.map { $0.map { Int32($0) } ?? -100 } })
      keep.append(own)
      labels = Labels(.classes(list), perRow: rows[0].perRow, weights: given?.floats, owners: keep)
    } else {
      let own = try storage(rows.flatMap { $0.numbers.flatMap { $0.map { $0.map { Float($0) } ?? .nan } } })
      keep.append(own)
      labels = Labels(.numbers(own.floats), perRow: rows[0].perRow, weights: given?.floats, owners: keep)
    }
    storages = keep
  }

  var batch: Trainer.Batch { Trainer.Batch(input, labels: labels, batch: count, length: length, owners: storages) }
}

extension Session {
  @discardableResult
  func teach(_ rows: [OracleRow], control: RunControl = quiet) throws -> LabelLoss {
    let own = try LabelledRows(rows)
    return try withExtendedLifetime(own) {
      var total = LabelLoss()
      try teach(own.input, own.labels, batch: own.count, length: own.length, into: &total, control: control)
      return total
    }
  }

  func answers(_ rows: [OracleRow]) throws -> [Float] {
    let own = try LabelledRows(rows)
    return try withExtendedLifetime(own) {
      var out = [Float](repeating: .nan, count: own.count * (rows[0].perRow ? 1 : own.length) * outputs)
      try out.withUnsafeMutableBufferPointer {
        try predict(
          own.input, batch: own.count, length: own.length, pooled: rows[0].perRow, into: Floats($0.baseAddress!),
          control: quiet)
      }
      return out
    }
  }
}
