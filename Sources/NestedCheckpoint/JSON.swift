/// One JSON value. Objects keep their members in the order of the text, so nothing depends on a
/// hash.
package enum JSONValue: Equatable, Sendable {
  case null
  case bool(Bool)
  case int(Int)
  case double(Double)
  case string(String)
  case array([JSONValue])
  case object([JSONMember])

  /// The member of that name, or nil when there is none or this is no object.
  package subscript(key: String) -> JSONValue? {
    guard case .object(let members) = self else { return nil }
    for member in members where member.key.isSameBytes(as: key) { return member.value }
    return nil
  }

  /// A few words for an error message: what the value is, with its text when that is short.
  package var summary: String {
    switch self {
    case .null: "null"
    case .bool(let value): value ? "true" : "false"
    case .int(let value): "\(value)"
    case .double(let value): "\(value)"
    case .string(let text): text.utf8.count <= 40 ? JSONValue.quoted(text) : "a string"
    case .array: "an array"
    case .object: "an object"
    }
  }
}

package struct JSONMember: Equatable, Sendable {
  package var key: String
  package var value: JSONValue

  package init(_ key: String, _ value: JSONValue) {
    self.key = key
    self.value = value
  }
}

extension String {
  /// Byte equality. `==` of Swift compares by canonical equivalence, which would make two different
  /// JSON keys or tensor names one.
  package func isSameBytes(as other: String) -> Bool { utf8.elementsEqual(other.utf8) }

  /// Order of the UTF-8 bytes: the same on every system and in every locale.
  package func precedesInBytes(_ other: String) -> Bool {
    utf8.lexicographicallyPrecedes(other.utf8)
  }
}
