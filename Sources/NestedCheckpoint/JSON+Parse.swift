internal import CJansson
package import NestedBase

extension JSONValue {
  /// Levels of arrays and objects that a text may have.
  package static let maximumDepth = 32
  /// Bytes that a text may have unless the caller says otherwise. A tree takes up to thirty times
  /// its text, and what a text decides must not exhaust the host.
  package static let maximumLength = 1 << 20

  /// The value of a JSON text (RFC 8259), strict: one value and nothing after it, no duplicate
  /// keys, no NaN or infinity by any spelling, valid UTF-8, no NUL, no byte order mark, at most 32
  /// levels. Integers keep all 64 bits; one that does not fit is an error, not a float. Throws
  /// `.parse` with the byte offset.
  package static func parse(
    _ text: Span<UInt8>, maximumLength: Int = maximumLength
  ) throws(NestedError) -> JSONValue {
    try checkShape(text, maximumLength)
    return try withNumericCLocale { () throws(NestedError) -> JSONValue in
      var failure = json_error_t()
      let root = unsafe text.withUnsafeBytes { bytes in
        unsafe json_loadb(
          bytes.baseAddress?.assumingMemoryBound(to: CChar.self), bytes.count,
          Int(JSON_REJECT_DUPLICATES | JSON_DECODE_ANY), &failure)
      }
      guard let root = unsafe root else {
        throw error(failure, length: text.count)
      }
      defer { unsafe json_decref(root) }
      return unsafe value(of: root)
    }
  }

  package static func parse(
    _ text: [UInt8], maximumLength: Int = maximumLength
  ) throws(NestedError) -> JSONValue {
    try parse(text.span, maximumLength: maximumLength)
  }

  package static func parse(_ text: String) throws(NestedError) -> JSONValue {
    try parse(Array(text.utf8).span)
  }

  /// What has to be known before Jansson sees the text: it recurses once per level, and the
  /// caller's stack may be small. The depth is counted outside strings only.
  private static func checkShape(_ text: Span<UInt8>, _ maximumLength: Int) throws(NestedError) {
    if text.count == 0 { throw NestedError(.parse, "[json] the text is empty", offset: 0) }
    if text.count >= 3, text[0] == 0xEF, text[1] == 0xBB, text[2] == 0xBF {
      throw NestedError(.parse, "[json] the text starts with a byte order mark", offset: 0)
    }
    var depth = 0
    var isInString = false
    var isEscaped = false
    for i in 0..<min(text.count, maximumLength) {
      let byte = text[i]
      if byte == 0 { throw NestedError(.parse, "[json] the text contains a NUL byte", offset: i) }
      if isInString {
        if isEscaped {
          isEscaped = false
        } else if byte == UInt8(ascii: "\\") {
          isEscaped = true
        } else if byte == UInt8(ascii: "\"") {
          isInString = false
        }
        continue
      }
      switch byte {
      case UInt8(ascii: "\""): isInString = true
      case UInt8(ascii: "["), UInt8(ascii: "{"):
        depth += 1
        if depth > maximumDepth {
          throw NestedError(.parse, "[json] more than \(maximumDepth) levels", offset: i)
        }
      case UInt8(ascii: "]"), UInt8(ascii: "}"): depth = max(0, depth - 1)
      default: break
      }
    }
    if text.count > maximumLength {
      throw NestedError(
        .parse, "[json] the text is longer than \(maximumLength) bytes", offset: maximumLength)
    }
  }

  /// Copies Jansson's tree. Recursion is bounded by `maximumDepth`.
  private static func value(of node: UnsafeMutablePointer<json_t>) -> JSONValue {
    switch unsafe node.pointee.type {
    case JSON_TRUE: return .bool(true)
    case JSON_FALSE: return .bool(false)
    case JSON_INTEGER: return unsafe .int(Int(json_integer_value(node)))
    case JSON_REAL: return unsafe .double(json_real_value(node))
    case JSON_STRING:
      return unsafe .string(text(json_string_value(node), json_string_length(node)))
    case JSON_ARRAY:
      let count = unsafe json_array_size(node)
      var items: [JSONValue] = []
      items.reserveCapacity(count)
      for i in 0..<count {
        if let item = unsafe json_array_get(node, i) { unsafe items.append(value(of: item)) }
      }
      return .array(items)
    case JSON_OBJECT:
      var members: [JSONMember] = []
      unsafe members.reserveCapacity(json_object_size(node))
      var place = unsafe json_object_iter(node)
      while let member = unsafe place {
        if let item = unsafe json_object_iter_value(member) {
          let key = unsafe text(json_object_iter_key(member), json_object_iter_key_len(member))
          unsafe members.append(JSONMember(key, value(of: item)))
        }
        unsafe place = json_object_iter_next(node, member)
      }
      return .object(members)
    default: return .null
    }
  }

  private static func text(_ start: UnsafePointer<CChar>?, _ count: Int) -> String {
    guard let start = unsafe start else { return "" }
    return unsafe String(
      decoding: UnsafeRawBufferPointer(start: start, count: count), as: UTF8.self)
  }

  private static func error(_ failure: json_error_t, length: Int) -> NestedError {
    let code = unsafe withUnsafePointer(to: failure) { unsafe json_error_code($0) }
    let what =
      switch code {
      case json_error_out_of_memory: ""
      case json_error_duplicate_key: "a key occurs twice in one object"
      case json_error_invalid_utf8: "invalid UTF-8"
      case json_error_null_character, json_error_null_byte_in_key: "a string contains a NUL"
      case json_error_premature_end_of_input: "the text ends too early"
      case json_error_end_of_input_expected: "something follows the value"
      case json_error_numeric_overflow: "a number is too large"
      default: "not valid JSON"
      }
    if what.isEmpty { return NestedError(.noMemory, "[json] no memory for the text") }
    let offset = min(max(0, Int(failure.position)), length)
    return NestedError(.parse, "[json] \(what)", offset: offset)
  }
}
