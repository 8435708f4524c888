/// Numbers in a shape, row-major: weights, logits.
public struct Tensor: Hashable, Sendable {
  /// Extents, outermost first.
  public let shape: [Int]
  /// All elements; the last index runs fastest.
  public var values: [Float]

  /// - Throws: ``Status/shape`` when there are not as many values as the shape has elements.
  public init(shape: [Int], values: [Float]) throws(NestedError) {
    guard product(shape) == values.count else {
      throw NestedError(
        .shape, "a tensor of shape \(shape) does not have \(values.count) values", place: "values")
    }
    self.shape = shape
    self.values = values
  }

  init(unchecked shape: [Int], _ values: [Float]) {
    self.shape = shape
    self.values = values
  }

  /// The elements with this outermost index: `logits[row: t]` are those after token t.
  public subscript(row index: Int) -> ArraySlice<Float> {
    let size = shape.dropFirst().reduce(1, *)
    return values[index * size..<(index + 1) * size]
  }
}
