package import NestedBase

// Plain operations that move elements.

extension Engine {
  /// The same elements under another shape; no copy.
  package func reshape(_ x: Tensor, _ shape: Shape) throws(NestedError) -> Tensor {
    precondition(shape.count == x.count, "[reshape] expected \(x.count) elements, got \(shape)")
    let y = Tensor(shape, x.storage, offset: x.offset)
    guard records(x) else { return y }
    let before = x.shape
    return record([x], y) { (engine, dy) throws(NestedError) in [try engine.reshape(dy, before)] }
  }

  /// y[.., i_axes[0], ..] with axes in the order `axes`.
  package func permute(_ x: Tensor, _ axes: [Int]) throws(NestedError) -> Tensor {
    precondition(axes.sorted() == Array(0..<x.shape.rank), "[permute] not an order of axes: \(axes)")
    let shape = Shape(axes.map { x.shape[$0] })
    let y = try empty(shape)
    var steps = [0, 0, 0, 0]
    var sizes = [1, 1, 1, 1]
    for (i, axis) in axes.enumerated() {
      steps[4 - axes.count + i] = x.shape.stride(axis)
      sizes[4 - axes.count + i] = x.shape[axis]
    }
    var at = 0
    for a in 0..<(computes ? sizes[0] : 0) {
      for b in 0..<sizes[1] {
        for c in 0..<sizes[2] {
          for d in 0..<sizes[3] {
            y.floats[at] = x.floats[a * steps[0] + b * steps[1] + c * steps[2] + d * steps[3]]
            at += 1
          }
        }
      }
    }
    guard records(x) else { return y }
    var inverse = axes
    for (i, axis) in axes.enumerated() { inverse[axis] = i }
    return record([x], y) { [inverse] (engine, dy) throws(NestedError) in
      [try engine.permute(dy, inverse)]
    }
  }

  /// x[.., start ..< start + count, ..] along `axis`.
  package func slice(_ x: Tensor, axis: Int, start: Int, count: Int) throws(NestedError) -> Tensor {
    precondition(start >= 0 && count > 0 && start + count <= x.shape[axis], "[slice] out of range")
    let y = try empty(x.shape.replacing(axis, with: count))
    copyAlong(axis, from: x, at: start, to: y, at: 0, count: count)
    guard records(x) else { return y }
    let size = x.shape[axis]
    return record([x], y) { (engine, dy) throws(NestedError) in
      [try engine.pad(dy, axis: axis, before: start, size: size)]
    }
  }

  /// x with zeros around it along `axis`, `size` long in all.
  package func pad(_ x: Tensor, axis: Int, before: Int, size: Int) throws(NestedError) -> Tensor {
    let y = try full(x.shape.replacing(axis, with: size), 0)
    let count = x.shape[axis]
    copyAlong(axis, from: x, at: 0, to: y, at: before, count: count)
    guard records(x) else { return y }
    return record([x], y) { (engine, dy) throws(NestedError) in
      [try engine.slice(dy, axis: axis, start: before, count: count)]
    }
  }

  /// The tensors one after the other along `axis`.
  package func concatenate(_ parts: [Tensor], axis: Int) throws(NestedError) -> Tensor {
    let total = parts.reduce(0) { $0 + $1.shape[axis] }
    let y = try empty(parts[0].shape.replacing(axis, with: total))
    var at = 0
    for part in parts {
      copyAlong(axis, from: part, at: 0, to: y, at: at, count: part.shape[axis])
      at += part.shape[axis]
    }
    guard tape != nil, parts.contains(where: { $0.slot >= 0 }) else { return y }
    return record(parts, y) { (engine, dy) throws(NestedError) in
      var at = 0
      var result: [Tensor?] = []
      for part in parts {
        let count = part.shape[axis]
        result.append(part.slot < 0 ? nil : try engine.slice(dy, axis: axis, start: at, count: count))
        at += count
      }
      return result
    }
  }

  /// Repeats axes of size 1 up to `shape`.
  package func broadcast(_ x: Tensor, _ shape: Shape) throws(NestedError) -> Tensor {
    var y = x
    for axis in 0..<shape.rank where y.shape[axis] != shape[axis] {
      y = try spread(y, axis: axis, count: shape[axis])
    }
    return y
  }

  /// Σ along `axis`, which stays with size 1.
  package func sum(_ x: Tensor, axis: Int) throws(NestedError) -> Tensor {
    let y = try full(x.shape.replacing(axis, with: 1), 0)
    let inner = x.shape.stride(axis), size = x.shape[axis]
    for outer in 0..<(computes ? x.count / (inner * size) : 0) {
      for i in 0..<size {
        for j in 0..<inner { y.floats[outer * inner + j] += x.floats[(outer * size + i) * inner + j] }
      }
    }
    guard records(x) else { return y }
    return record([x], y) { (engine, dy) throws(NestedError) in
      [try engine.spread(dy, axis: axis, count: size)]
    }
  }

  private func spread(_ x: Tensor, axis: Int, count: Int) throws(NestedError) -> Tensor {
    precondition(x.shape[axis] == 1, "[broadcast] expected size 1 along axis \(axis), got \(x.shape)")
    let y = try empty(x.shape.replacing(axis, with: count))
    for i in 0..<count { copyAlong(axis, from: x, at: 0, to: y, at: i, count: 1) }
    guard records(x) else { return y }
    return record([x], y) { (engine, dy) throws(NestedError) in [try engine.sum(dy, axis: axis)] }
  }

  private func copyAlong(
    _ axis: Int, from x: Tensor, at start: Int, to y: Tensor, at position: Int, count: Int
  ) {
    if !computes { return }
    let inner = x.shape.stride(axis), left = x.shape[axis], right = y.shape[axis]
    for outer in 0..<x.count / (inner * left) {
      (y.floats + (outer * right + position) * inner).copy(
        from: x.floats + (outer * left + start) * inner, count: count * inner)
    }
  }
}
