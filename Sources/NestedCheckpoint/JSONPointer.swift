package import NestedBase

/// JSON pointers (RFC 6901): `/cms/levels/1/chunk`; "" is the whole document.
package enum JSONPointer {
  /// The unescaped tokens. Throws `.argument` when the text is no pointer.
  package static func tokens(_ pointer: String) throws(NestedError) -> [String] {
    if pointer.isEmpty { return [] }
    var tokens: [String] = []
    var token: [UInt8] = []
    var isEscaped = false
    var isFirst = true
    for byte in pointer.utf8 {
      if isFirst {
        guard byte == UInt8(ascii: "/") else { throw malformed(pointer) }
        isFirst = false
        continue
      }
      if isEscaped {
        guard byte == UInt8(ascii: "0") || byte == UInt8(ascii: "1") else {
          throw malformed(pointer)
        }
        token.append(byte == UInt8(ascii: "0") ? UInt8(ascii: "~") : UInt8(ascii: "/"))
        isEscaped = false
      } else if byte == UInt8(ascii: "~") {
        isEscaped = true
      } else if byte == UInt8(ascii: "/") {
        tokens.append(String(decoding: token, as: UTF8.self))
        token = []
      } else {
        token.append(byte)
      }
    }
    if isEscaped { throw malformed(pointer) }
    tokens.append(String(decoding: token, as: UTF8.self))
    return tokens
  }

  /// `place` with one more token.
  package static func appending(_ token: String, to place: String) -> String {
    var bytes = Array(place.utf8)
    bytes.append(UInt8(ascii: "/"))
    for byte in token.utf8 {
      switch byte {
      case UInt8(ascii: "~"): bytes += [UInt8(ascii: "~"), UInt8(ascii: "0")]
      case UInt8(ascii: "/"): bytes += [UInt8(ascii: "~"), UInt8(ascii: "1")]
      default: bytes.append(byte)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// The index that a token names: decimal digits without a leading zero.
  package static func index(_ token: String) -> Int? {
    let digits = token.utf8
    guard let first = digits.first, digits.count <= 9 else { return nil }
    if first == UInt8(ascii: "0") && digits.count > 1 { return nil }
    var index = 0
    for digit in digits {
      guard digit >= UInt8(ascii: "0"), digit <= UInt8(ascii: "9") else { return nil }
      index = index * 10 + Int(digit - UInt8(ascii: "0"))
    }
    return index
  }

  private static func malformed(_ pointer: String) -> NestedError {
    NestedError(
      .argument, "[json] expected a JSON pointer such as /cms/levels/1/chunk", place: pointer)
  }
}

extension JSONValue {
  /// The value at a pointer; `.notFound` when there is none.
  package func value(at pointer: String) throws(NestedError) -> JSONValue {
    var value = self
    for token in try JSONPointer.tokens(pointer) {
      switch value {
      case .object:
        guard let member = value[token] else { throw JSONValue.missing(pointer) }
        value = member
      case .array(let items):
        guard let index = JSONPointer.index(token), index < items.count else {
          throw JSONValue.missing(pointer)
        }
        value = items[index]
      default: throw JSONValue.missing(pointer)
      }
    }
    return value
  }

  private static func missing(_ pointer: String) -> NestedError {
    NestedError(.notFound, "[json] nothing stands at this pointer", place: pointer)
  }
}
