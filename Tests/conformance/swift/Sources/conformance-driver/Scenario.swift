import Foundation
import Nested

/// What the driver cannot go on without.
struct Unusable: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

extension JSON: @retroactive Decodable {
  private struct Key: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  public init(from decoder: any Decoder) throws {
    if let object = try? decoder.container(keyedBy: Key.self) {
      self = .object(
        try object.allKeys.map { ($0.stringValue, try object.decode(JSON.self, forKey: $0)) })
    } else if var array = try? decoder.unkeyedContainer() {
      var values: [JSON] = []
      while !array.isAtEnd { values.append(try array.decode(JSON.self)) }
      self = .array(values)
    } else {
      let value = try decoder.singleValueContainer()
      if value.decodeNil() {
        self = .null
      } else if let boolean = try? value.decode(Bool.self) {
        self = .boolean(boolean)
      } else if let integer = try? value.decode(Int.self) {
        self = .integer(integer)
      } else if let number = try? value.decode(Double.self) {
        self = .number(number)
      } else {
        self = .string(try value.decode(String.self))
      }
    }
  }

  subscript(key: String) -> JSON? {
    guard case .object(let members) = self else { return nil }
    return members.first { $0.key == key }?.value
  }

  var elements: [JSON]? { if case .array(let values) = self { values } else { nil } }
  var integer: Int? { if case .integer(let value) = self { value } else { nil } }
  var text: String? { if case .string(let value) = self { value } else { nil } }
  var isTrue: Bool { if case .boolean(true) = self { true } else { false } }
  var number: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }
}

/// A step and its arguments.
struct Step {
  let json: JSON
  let vocab: Int

  subscript(key: String) -> JSON? { json[key] }

  func text(_ key: String) throws -> String { try value(key, json[key]?.text) }
  func integer(_ key: String) throws -> Int { try value(key, json[key]?.integer) }
  func names(_ key: String) throws -> [String] {
    try value(key, json[key]?.elements?.compactMap(\.text))
  }

  private func value<Value>(_ key: String, _ value: Value?) throws -> Value {
    guard let value else { throw Unusable("\(json["id"]?.text ?? "?"): no \(key)") }
    return value
  }

  /// -1 = all.
  func index(_ key: String) throws -> Int? {
    let index = try integer(key)
    return index == -1 ? nil : index
  }

  func tokens() throws -> [Int32] {
    let given = try value("tokens", json["tokens"])
    if let ids = given.elements { return ids.compactMap { $0.integer.map(Int32.init) } }
    return generate(
      seed: try value("seed", given["seed"]?.integer),
      count: try value("count", given["count"]?.integer))
  }

  func batch(_ number: Int = 0) throws -> Batch {
    let given = try value("batch", json["batch"])
    let rows = try value("rows", given["rows"]?.integer)
    let length = try value("length", given["length"]?.integer)
    let seed = try value("seed", given["seed"]?.integer)
    if let inputs = given["inputs"]?.integer {
      return try vectors(given, rows, length, inputs, seed: UInt64(seed + number))
    }
    let tokens = generate(seed: seed + number, count: rows * length)
    let targets = tokens.indices.map {
      $0 % 5 == 4 ? Batch.ignored : tokens[($0 + 1) % tokens.count]
    }
    return try Batch(
      rows: rows, length: length, tokens: tokens,
      targets: given["targets"]?.isTrue == true ? targets : nil,
      weights: given["weights"]?.isTrue == true ? tokens.indices.map { Float($0 % 4) * 0.25 } : nil)
  }

  /// Vectors around the centres of their classes, and what is to be predicted from them.
  private func vectors(
    _ given: JSON, _ rows: Int, _ length: Int, _ inputs: Int, seed: UInt64
  ) throws -> Batch {
    let classes = try value("classes", given["classes"]?.integer)
    let isPositions = given["positions"]?.isTrue == true
    func label(_ i: Int) -> Int { (given["first"]?.integer ?? 0) + i % classes }
    var state = seed
    var vectors: [Float] = []
    for i in 0..<rows * length {
      let label = label(isPositions ? i : i / length)
      for j in 0..<inputs {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        let noise = Float(Int((state >> 33) % 2049) - 1024) / 4096
        vectors.append(Float((label * 7 + j * 5 + label * j * 3) % 9 - 4) / 4 + noise)
      }
    }
    let count = isPositions ? rows * length : rows
    let weights = given["weights"]?.isTrue == true ? (0..<count).map { Float($0 % 4) * 0.25 } : nil
    guard let outputs = given["outputs"]?.integer else {
      return try Batch(
        rows: rows, length: length, vectors: vectors, labels: (0..<count).map { Int32(label($0)) },
        weights: weights)
    }
    let values = (0..<count * outputs).map { at in
      at % 5 == 4 ? Float.nan : Float((label(at / outputs) * 5 + at % outputs * 3) % 7 - 3) / 2
    }
    return try Batch(
      rows: rows, length: length, vectors: vectors, values: values, outputs: outputs,
      weights: weights)
  }

  private func generate(seed: Int, count: Int) -> [Int32] {
    var (state, previous) = (UInt64(seed), UInt64(0))
    return (0..<count).map { _ in
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      let r = state >> 33
      previous = (r % 4 != 0 ? previous * 5 + 3 : r >> 2) % UInt64(vocab)
      return Int32(previous)
    }
  }
}
