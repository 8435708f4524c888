extension Batch {
  /// What is to be predicted from vectors.
  public enum Answers: Hashable, Sendable {
    /// The class of each row [B], or of each position [B, T]; ``Batch/ignored`` adds no loss.
    case labels([Int32])
    /// The numbers of each row [B, outputs], or of each position [B, T, outputs]; NaN where one is
    /// not known.
    case values(Tensor)
  }

  /// Rows of vectors.
  ///
  /// ```swift
  /// let corners = try Batch(rows: 2, length: 1, vectors: [0, 1, 1, 0], labels: [0, 1])
  /// ```
  ///
  /// - Parameters:
  ///   - rows: Number of sequences, B.
  ///   - length: Vectors of each, T.
  ///   - vectors: [B, T, numbers of a vector], row by row.
  ///   - labels: Classes of the rows [B], or of the positions [B, T]; `nil` for a batch that is only
  ///     to be answered.
  ///   - weights: Of the loss, one for each label.
  /// - Throws: ``Status/shape`` when the numbers do not come out even.
  public init(
    rows: Int, length: Int, vectors: [Float], labels: [Int32]? = nil, weights: [Float]? = nil
  ) throws(NestedError) {
    let inputs = try Batch.tensor(rows, length, vectors)
    try Batch.check(labels?.count, "labels", rows, length)
    try Batch.check(weights?.count, "weights", rows, length)
    self.init(
      rows: rows, length: length, vectors: inputs, answers: labels.map { .labels($0) },
      weights: weights)
  }

  /// Rows of vectors and the numbers to be predicted from them: for each row [B, `outputs`], or for
  /// each position [B, T, `outputs`]; NaN where one is not known.
  ///
  /// - Throws: ``Status/shape`` when the numbers do not come out even.
  public init(
    rows: Int, length: Int, vectors: [Float], values: [Float], outputs: Int,
    weights: [Float]? = nil
  ) throws(NestedError) {
    let inputs = try Batch.tensor(rows, length, vectors)
    guard outputs > 0, values.count % outputs == 0 else {
      throw NestedError(
        .shape, "\(values.count) values are not vectors of \(outputs)", place: "values")
    }
    try Batch.check(values.count / outputs, "values", rows, length)
    try Batch.check(weights?.count, "weights", rows, length)
    let shape = values.count == rows * outputs ? [rows, outputs] : [rows, length, outputs]
    self.init(
      rows: rows, length: length, vectors: inputs,
      answers: .values(Tensor(unchecked: shape, values)), weights: weights)
  }

  private static func tensor(
    _ rows: Int, _ length: Int, _ vectors: [Float]
  ) throws(NestedError) -> Tensor {
    guard let count = product([rows, length]), count > 0, !vectors.isEmpty,
      vectors.count % count == 0
    else {
      throw NestedError(
        .shape, "\(vectors.count) numbers are not \(rows) rows of \(length) vectors",
        place: "vectors")
    }
    return Tensor(unchecked: [rows, length, vectors.count / count], vectors)
  }

  private static func check(
    _ count: Int?, _ place: String, _ rows: Int, _ length: Int
  ) throws(NestedError) {
    guard let count, count != rows, count != rows * length else { return }
    throw NestedError(
      .shape, "\(rows) rows of \(length) do not have \(count) \(place)", place: place)
  }
}
