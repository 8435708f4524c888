internal import CNested

/// Sequences for training and evaluation, each a fresh stream from position 0.
public struct Batch: Hashable, Sendable {
  /// Number of sequences, B.
  public let rows: Int
  /// Tokens of each, T.
  public let length: Int
  /// [B, T], row by row.
  public let tokens: [Int32]
  /// [B, T], what to predict at each position; ``ignored`` adds no loss. `nil` = the next token of
  /// the row, and nothing at its end.
  public let targets: [Int32]?
  /// [B, T], weights of the loss, finite and >= 0; `nil` = all 1.
  public let weights: [Float]?

  /// The target that adds no loss.
  public static var ignored: Int32 { NESTED_IGNORE_TARGET }

  /// - Throws: ``Status/shape`` when `tokens`, `targets` or `weights` are not `rows` times
  ///   `length`; ``Status/range`` for an integer that is not a token id.
  public init<Tokens: Sequence>(
    rows: Int, length: Int, tokens: Tokens, targets: [Int32]? = nil, weights: [Float]? = nil
  ) throws(NestedError) where Tokens.Element: BinaryInteger {
    let tokens = try tokenIDs(tokens)
    let counts = [
      ("tokens", tokens.count), ("targets", targets?.count), ("weights", weights?.count),
    ]
    for case (let name, let count?) in counts where count != product([rows, length]) {
      throw NestedError(
        .shape, "\(rows) rows of \(length) are not \(count) \(name)", place: name)
    }
    self.rows = rows
    self.length = length
    self.tokens = tokens
    self.targets = targets
    self.weights = weights
  }

  /// Rows of any lengths: short ones are padded, and the padding adds no loss.
  ///
  /// - Throws: ``Status/range`` for an integer that is not a token id.
  public init<Row: Sequence>(_ rows: [Row]) throws(NestedError)
  where Row.Element: BinaryInteger {
    var ids: [[Int32]] = []
    for row in rows { ids.append(try tokenIDs(row, place: "rows")) }
    let length = ids.map(\.count).max() ?? 0
    let isRagged = ids.contains { $0.count < length }
    try self.init(
      rows: ids.count, length: length,
      tokens: ids.flatMap { $0 + [Int32](repeating: 0, count: length - $0.count) },
      targets: isRagged
        ? ids.flatMap { row in
          let shifted = Array(row.dropFirst())
          return shifted + [Int32](repeating: Batch.ignored, count: length - shifted.count)
        } : nil)
  }

  /// `body` with the C struct, valid inside it.
  func use<Result>(_ body: (UnsafePointer<nested_batch>) -> Result) -> Result {
    var record = unsafe nested_batch.stamped()
    unsafe record.n_seq = Int64(rows)
    unsafe record.seq_len = Int64(length)
    return unsafe tokens.withUnsafeBufferPointer { tokens in
      unsafe record.tokens = tokens.baseAddress
      return unsafe (targets ?? []).withUnsafeBufferPointer { values in
        unsafe record.targets = targets == nil ? nil : values.baseAddress
        return unsafe (weights ?? []).withUnsafeBufferPointer { values in
          unsafe record.weights = weights == nil ? nil : values.baseAddress
          return unsafe body(&record)
        }
      }
    }
  }
}
