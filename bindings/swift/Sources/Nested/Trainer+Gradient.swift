internal import CNested

/// A gradient as a trainer collects it: summed over targets, not averaged.
public struct Gradient: Hashable, Sendable {
  /// One for each parameter, in flat order (``TensorInfo/flatOffset``).
  public var values: [Float]
  /// Targets behind it: `values` divided by this is the gradient of the mean loss.
  public var targets: Double

  /// From values in flat order and their number of targets.
  public init(values: [Float], targets: Double) {
    self.values = values
    self.targets = targets
  }

  /// Adds the gradient of another worker.
  ///
  /// - Throws: ``Status/shape`` when it has another number of parameters.
  public mutating func add(_ other: Gradient) throws(NestedError) {
    guard values.count == other.values.count else {
      throw NestedError(
        .shape, "\(values.count) and \(other.values.count) parameters", place: "other")
    }
    for index in values.indices { values[index] += other.values[index] }
    targets += other.targets
  }
}

extension Trainer {
  /// A copy of the gradient that has been collected.
  public var gradient: Gradient {
    get throws(NestedError) {
      var gradient = Gradient(values: [], targets: 0)
      try unsafe lend { values, targets in
        gradient = unsafe Gradient(values: Array(values), targets: targets.pointee)
      }
      return gradient
    }
  }

  /// Puts a gradient in the place of what has been collected, for ``apply(run:)``.
  ///
  /// - Throws: ``Status/shape`` when the model has another number of parameters.
  public func setGradient(_ gradient: Gradient) throws(NestedError) {
    var expected = gradient.values.count
    try unsafe lend { values, targets in
      expected = values.count
      guard expected == gradient.values.count else { return }
      _ = unsafe values.update(fromContentsOf: gradient.values)
      unsafe targets.pointee = gradient.targets
    }
    guard expected == gradient.values.count else {
      throw NestedError(
        .shape, "expected \(expected) values, got \(gradient.values.count)", place: "gradient")
    }
  }

  /// `body` with the trainer's own gradient, which no other call touches meanwhile.
  private func lend(
    _ body: (UnsafeMutableBufferPointer<Float>, UnsafeMutablePointer<Double>) -> Void
  ) throws(NestedError) {
    try unsafe core.call { trainer in
      var (data, count) = unsafe (UnsafeMutablePointer<Float>?.none, 0)
      var targets: UnsafeMutablePointer<Double>?
      let status = unsafe nested_trainer_gradient(trainer, &data, &count, &targets)
      guard status == NESTED_OK, let targets = unsafe targets else { return status }
      unsafe body(UnsafeMutableBufferPointer(start: data, count: count), targets)
      return status
    }
  }
}
