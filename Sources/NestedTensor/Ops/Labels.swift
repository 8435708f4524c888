package import NestedBase

extension Engine {
  /// What an output stands at that takes no part in a softmax: finite, so that it can be written down, and e to its power
  /// is 0 beside any other.
  package static let unseenOutput: Float = -1e30

  /// y = x [rows, O] where `seen` [O] is not 0, elsewhere `unseenOutput`, which has no gradient. `seen` must stay until the
  /// tape is walked.
  package func masked(_ x: Tensor, _ seen: [Bool]) throws(NestedError) -> Tensor {
    let cols = x.shape.last
    precondition(seen.count == cols, "[masked] expected \(cols) flags, got \(seen.count)")
    let y = try cover(x, seen, Engine.unseenOutput)
    guard records(x) else { return y }
    return record([x], y) { (engine, dy) throws(NestedError) in [try engine.cover(dy, seen, 0)] }
  }

  private func cover(_ x: Tensor, _ seen: [Bool], _ value: Float) throws(NestedError) -> Tensor {
    let y = try empty(x.shape)
    y.floats.copy(from: x.floats, count: x.count)
    for column in seen.indices where !seen[column] {
      for at in stride(from: column, to: x.count, by: seen.count) { y.floats[at] = value }
    }
    return y
  }

  /// ½ Σ weight_r (y_rj - t_rj)² as a tensor of one element and as a Double: y, t [rows, O], weights [rows] or nil. A target
  /// that is NaN adds nothing. Targets and weights must stay until the tape is walked.
  package func squaredError(
    _ y: Tensor, _ targets: Floats, weights: Floats? = nil
  ) throws(NestedError) -> (loss: Tensor, sum: Double) {
    let cols = y.shape.last
    var sum = 0.0
    for i in 0..<(computes ? y.count : 0) where !targets[i].isNaN {
      let error = Double(y.floats[i]) - Double(targets[i])
      sum += 0.5 * Double(weights?[i / cols] ?? 1) * error * error
    }
    let loss = try full(Shape(1), Float(sum))
    guard records(y) else { return (loss, sum) }
    let recorded = record([y], loss) { (engine, seed) throws(NestedError) in
      let dy = try engine.full(y.shape, 0)
      for i in 0..<(engine.computes ? y.count : 0) where !targets[i].isNaN {
        dy.floats[i] = seed.floats[0] * (weights?[i / cols] ?? 1) * (y.floats[i] - targets[i])
      }
      return [dy]
    }
    return (recorded, sum)
  }
}
