package import NestedBase
package import NestedTensor

/// What the rows of a batch are to be answered with (tasks classify and regress): one label for each row, or one for each
/// position. Borrowed: `owners` keeps what is not the caller's.
package struct Labels {
  package enum Values {
    /// [places], negative = not known
    case classes(Tokens)
    /// [places, outputs], NaN = not known
    case numbers(Floats)
  }

  package let values: Values
  package let perRow: Bool
  /// [places], or nil = all 1.
  package let weights: Floats?
  private let owners: [Storage]

  package init(_ values: Values, perRow: Bool, weights: Floats? = nil, owners: [Storage] = []) {
    (self.values, self.perRow, self.weights, self.owners) = (values, perRow, weights, owners)
  }
}

/// Loss of labelled places, summed.
package struct LabelLoss: Equatable, Sendable {
  package var lossSum = 0.0
  /// Places with a label, by their weights.
  package var targets = 0.0
  /// Of these, the ones whose label was ranked first; NaN where there is nothing to rank.
  package var correct = 0.0
  /// Places with a label and a weight above 0.
  package var known = 0

  package init() {}

  package static func += (a: inout LabelLoss, b: LabelLoss) {
    a.lossSum += b.lossSum
    a.targets += b.targets
    a.correct += b.correct
    a.known += b.known
  }
}

extension Labels {
  /// The loss of `outputs` [count, outputs] under the labels of the places from `start` on: cross-entropy in nats, or half
  /// the squared error summed over the outputs (SPEC 1). Without a label that is known the tensor is a constant 0.
  package func loss(
    _ engine: Engine, _ outputs: Tensor, from start: Int
  ) throws(NestedError) -> (loss: Tensor, total: LabelLoss) {
    let width = outputs.shape.last, count = outputs.shape[0]
    let weights = weights.map { $0 + start }
    var total = LabelLoss()
    for i in 0..<count where isKnown(start + i, width) {
      let weight = Double(weights?[i] ?? 1)
      total.targets += weight
      if weight > 0 { total.known += 1 }
      guard case .classes(let labels) = values else { continue }
      if Labels.first(outputs.floats + i * width, width) == Int(labels[start + i]) { total.correct += weight }
    }
    if case .numbers = values { total.correct = .nan }
    guard total.known > 0 else { return (try engine.full(Shape(1), 0), total) }
    switch values {
    case .classes(let labels):
      let result = try engine.crossEntropy(outputs, labels + start, weights: weights)
      total.lossSum = result.sum
      return (result.loss, total)
    case .numbers(let numbers):
      let result = try engine.squaredError(outputs, numbers + start * width, weights: weights)
      total.lossSum = result.sum
      return (result.loss, total)
    }
  }

  /// Places with a label, by their weights.
  package func targets(_ places: Int, outputs: Int) -> Double {
    var sum = 0.0
    for i in 0..<places where isKnown(i, outputs) { sum += Double(weights?[i] ?? 1) }
    return sum
  }

  private func isKnown(_ place: Int, _ outputs: Int) -> Bool {
    switch values {
    case .classes(let labels): labels[place] >= 0
    case .numbers(let numbers): (0..<outputs).contains { !numbers[place * outputs + $0].isNaN }
    }
  }

  /// The largest output, of equal ones the first.
  private static func first(_ outputs: Floats, _ count: Int) -> Int {
    var best = 0
    for i in 1..<max(1, count) where outputs[i] > outputs[best] { best = i }
    return best
  }
}

extension NetworkInput {
  /// From input `count` on, of vectors of `width` numbers.
  package func advanced(by count: Int, width: Int) -> NetworkInput {
    switch self {
    case .tokens(let tokens): .tokens(tokens + count)
    case .vectors(let vectors): .vectors(vectors + count * width)
    }
  }
}
