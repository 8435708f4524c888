extension JSONValue {
  /// Compact JSON text. `sorted` orders the members of every object by their UTF-8 bytes, which
  /// makes equal values equal bytes. Doubles are the shortest digits that read back as the same
  /// double, whatever the locale; a NaN or an infinity, which JSON cannot say, becomes null.
  package func serialize(sorted: Bool = false) -> String {
    var text = ""
    append(to: &text, sorted: sorted)
    return text
  }

  private func append(to text: inout String, sorted: Bool) {
    switch self {
    case .null: text += "null"
    case .bool(let value): text += value ? "true" : "false"
    case .int(let value): text += value.description
    case .double(let value): text += value.isFinite ? value.description : "null"
    case .string(let value): text += JSONValue.quoted(value)
    case .array(let items):
      text += "["
      var isFirst = true
      for item in items {
        if !isFirst { text += "," }
        isFirst = false
        item.append(to: &text, sorted: sorted)
      }
      text += "]"
    case .object(let members):
      text += "{"
      var isFirst = true
      let ordered = sorted ? members.sorted { $0.key.precedesInBytes($1.key) } : members
      for member in ordered {
        if !isFirst { text += "," }
        isFirst = false
        text += JSONValue.quoted(member.key)
        text += ":"
        member.value.append(to: &text, sorted: sorted)
      }
      text += "}"
    }
  }

  /// The string in quotes, with what JSON wants escaped and nothing else.
  package static func quoted(_ value: String) -> String {
    let digits = Array("0123456789abcdef".utf8)
    var bytes: [UInt8] = [UInt8(ascii: "\"")]
    bytes.reserveCapacity(value.utf8.count + 2)
    for byte in value.utf8 {
      switch byte {
      case UInt8(ascii: "\""): bytes += Array("\\\"".utf8)
      case UInt8(ascii: "\\"): bytes += Array("\\\\".utf8)
      case 0x0A: bytes += Array("\\n".utf8)
      case 0x0D: bytes += Array("\\r".utf8)
      case 0x09: bytes += Array("\\t".utf8)
      case 0..<0x20:
        bytes += Array("\\u00".utf8)
        bytes.append(digits[Int(byte >> 4)])
        bytes.append(digits[Int(byte & 15)])
      default: bytes.append(byte)
      }
    }
    bytes.append(UInt8(ascii: "\""))
    return String(decoding: bytes, as: UTF8.self)
  }
}
