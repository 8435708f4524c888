// What Swift values have to become on their way into the library. Nothing here traps: what does not
// fit is an error like those of the library.

/// Tokens from `[Int32]`, bytes, `String.utf8`, or any integers.
func tokenIDs<Tokens: Sequence>(
  _ tokens: Tokens, place: String = "tokens", function: String = #function
) throws(NestedError) -> [Int32] where Tokens.Element: BinaryInteger {
  if let ids = tokens as? [Int32] { return ids }
  if let bytes = tokens as? [UInt8] { return bytes.map(Int32.init) }
  if let bytes = tokens as? String.UTF8View { return bytes.map(Int32.init) }
  var ids: [Int32] = []
  ids.reserveCapacity(tokens.underestimatedCount)
  for token in tokens {
    guard let id = Int32(exactly: token) else {
      throw NestedError(
        .range, "token \(token) is not a token id", place: place, function: function)
    }
    ids.append(id)
  }
  return ids
}

/// A text that C will read to its first NUL, which therefore may not contain one.
func cText(
  _ text: String, place: String, function: String = #function
) throws(NestedError) -> String {
  guard !text.utf8.contains(0) else {
    throw NestedError(.argument, "the text contains a NUL", place: place, function: function)
  }
  return text
}

/// A count or size, which may not be negative.
func count(
  _ value: Int, place: String, function: String = #function
) throws(NestedError) -> Int {
  guard value >= 0 else {
    throw NestedError(.range, "\(value) is negative", place: place, function: function)
  }
  return value
}

/// The product of extents, or `nil` when one is negative or it does not fit.
func product(_ extents: [Int]) -> Int? {
  var result = 1
  for extent in extents {
    let (value, overflow) = result.multipliedReportingOverflow(by: extent)
    guard extent >= 0, !overflow else { return nil }
    result = value
  }
  return result
}
