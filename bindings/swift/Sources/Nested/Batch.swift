internal import CNested

/// Sequences for training and evaluation, each a fresh stream from position 0: of tokens, or of
/// vectors for models that read those.
public struct Batch: Hashable, Sendable {
  /// Number of sequences, B.
  public let rows: Int
  /// Positions of each, T.
  public let length: Int
  /// [B, T], row by row; empty for vectors.
  public let tokens: [Int32]
  /// [B, T], what to predict at each position; ``ignored`` adds no loss. `nil` = the next token of
  /// the row, and nothing at its end.
  public let targets: [Int32]?
  /// [B, T], weights of the loss, finite and >= 0; [B] beside labels of rows; `nil` = all 1.
  public let weights: [Float]?
  /// [B, T, numbers of a vector], or `nil` for tokens.
  public let vectors: Tensor?
  /// What is to be predicted from vectors, or `nil`.
  public let answers: Answers?

  /// The target or label that adds no loss.
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
    (vectors, answers) = (nil, nil)
  }

  init(
    rows: Int, length: Int, vectors: Tensor, answers: Answers?, weights: [Float]?
  ) {
    self.rows = rows
    self.length = length
    (tokens, targets) = ([], nil)
    self.vectors = vectors
    self.answers = answers
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
}
