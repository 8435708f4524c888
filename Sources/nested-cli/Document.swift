import FoundationEssentials
import Nested

/// A JSON document that was read.
enum Document: Equatable, Decodable {
  case null
  case boolean(Bool)
  case number(Double)
  case string(String)
  case array([Document])
  case object([String: Document])

  init(text: some Sequence<UInt8>, of path: String) throws(Failure) {
    do {
      self = try JSONDecoder().decode(Document.self, from: Data(text))
    } catch {
      throw Failure(.data, "\(path): not JSON")
    }
  }

  /// What was written, as it would be read.
  init(_ json: JSON) {
    switch json {
    case .null: self = .null
    case .boolean(let value): self = .boolean(value)
    case .integer(let value): self = .number(Double(value))
    case .number(let value): self = .number(value)
    case .string(let value): self = .string(value)
    case .array(let values): self = .array(values.map(Document.init))
    case .object(let members):
      self = .object(Dictionary(members.map { ($0.key, Document($0.value)) }) { $1 })
    }
  }

  init(from decoder: any Decoder) throws {
    let value = try decoder.singleValueContainer()
    if value.decodeNil() {
      self = .null
    } else if let boolean = try? value.decode(Bool.self) {
      self = .boolean(boolean)
    } else if let number = try? value.decode(Double.self) {
      self = .number(number)
    } else if let string = try? value.decode(String.self) {
      self = .string(string)
    } else if let array = try? value.decode([Document].self) {
      self = .array(array)
    } else {
      self = .object(try value.decode([String: Document].self))
    }
  }

  subscript(key: String) -> Document {
    if case .object(let members) = self { members[key] ?? .null } else { .null }
  }

  var members: [String: Document] { if case .object(let members) = self { members } else { [:] } }
  var elements: [Document] { if case .array(let elements) = self { elements } else { [] } }
  var string: String? { if case .string(let value) = self { value } else { nil } }
  var number: Double? { if case .number(let value) = self { value } else { nil } }
  var integer: Int? { number.flatMap(Int.init(exactly:)) }

  /// To be written again: keys sorted, whole numbers without a point.
  var json: JSON {
    switch self {
    case .null: .null
    case .boolean(let value): .boolean(value)
    case .number(let value): Int(exactly: value).map(JSON.integer) ?? .number(value)
    case .string(let value): .string(value)
    case .array(let values): .array(values.map(\.json))
    case .object(let members):
      .object(members.sorted { $0.key < $1.key }.map { ($0.key, $0.value.json) })
    }
  }
}

extension Document: CustomStringConvertible {
  var description: String { json.description }
}
