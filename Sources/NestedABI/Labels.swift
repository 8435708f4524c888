internal import CNested
internal import NestedBase
internal import NestedModels
internal import NestedTensor
internal import NestedTraining

// Sections 8 and 10 of the header: vectors and labels of a batch, checked against the model that will read them.

/// Labels below this can be taught.
let labelLimit = 1 << 24

/// Floats of a caller's array, all finite: in place when it is dense float32, else a converted copy.
func vectors(
  _ array: StridedArray, _ budget: MemoryBudget, _ name: StaticString
) throws(NestedError) -> (floats: Floats, owner: Storage?) {
  let copy = array.floats == nil ? try Storage(count: array.count, budget: budget) : nil
  if let floats = array.floats {
    for i in 0..<array.count where !floats[i].isFinite { throw notFinite(name, i) }
    return (floats, nil)
  }
  guard let copy else { throw nullArgument(name) }
  if let bad = array.read(into: copy.floats) { throw notFinite(name, bad) }
  return (copy.floats, copy)
}

private func notFinite(_ name: StaticString, _ index: Int) -> NestedError {
  NestedError(.numeric, "\(name): element \(index) is not finite in float32.", place: "\(name)")
}

/// The vectors of a batch, [rows, length, inputs].
func vectors(
  _ view: UnsafePointer<nested_cview>?, rows: Int, length: Int, _ model: Model
) throws(NestedError) -> (floats: Floats, owner: Storage?) {
  let array = unsafe try NestedABI.view(view, "batch.inputs", types: floatTypes)
  let inputs = model.configuration.inputs
  guard array.hasShape([rows, length, inputs]) else {
    throw NestedError(
      .shape, "batch.inputs must have shape [\(rows), \(length), \(inputs)].", place: "batch.inputs.shape")
  }
  return try vectors(array, model.runtime.budget, "batch.inputs")
}

/// The labels of a batch. `limit`: labels that the caller of a classifier may use.
func labels(
  _ view: UnsafePointer<nested_cview>?, _ weights: UnsafePointer<Float>?, rows: Int, length: Int, _ model: Model,
  limit: Int
) throws(NestedError) -> Labels {
  let classifies = model.configuration.task == .classify
  let array = unsafe try NestedABI.view(view, "batch.labels", types: classifies ? [.i32, .i64] : floatTypes)
  let tail = classifies ? [] : [model.configuration.outputs]
  let perRow = array.hasShape([rows] + tail)
  guard perRow || array.hasShape([rows, length] + tail) else {
    let end = tail.map { ", \($0)" }.joined()
    throw NestedError(
      .shape, "batch.labels must have shape [\(rows)\(end)] or [\(rows), \(length)\(end)].",
      place: "batch.labels.shape")
  }
  let places = perRow ? rows : rows * length
  let weights = unsafe try lossWeights(weights, count: places)
  // Integers fit where floats do.
  let copy = try Storage(count: array.count, budget: model.runtime.budget)
  guard classifies else {
    _ = array.read(into: copy.floats)
    for i in 0..<array.count where copy.floats[i].isInfinite { throw notFinite("batch.labels", i) }
    return Labels(.numbers(copy.floats), perRow: perRow, weights: weights, owners: [copy])
  }
  let ids = unsafe UnsafeMutableRawPointer(copy.floats.pointer).bindMemory(to: Int32.self, capacity: places)
  for (i, label) in array.integers.enumerated() {
    guard label >= 0 && label < Int64(limit) || label == Int64(NESTED_IGNORE_TARGET) else {
      throw NestedError(
        .range,
        limit == labelLimit
          ? "batch.labels[\(i)] is \(label), not in 0..<2^24."
          : "batch.labels[\(i)] is \(label); the model knows \(limit) labels (set /classes, or teach a session).",
        place: "batch.labels[\(i)]")
    }
    unsafe ids[i] = Int32(truncatingIfNeeded: label)
  }
  return Labels(.classes(unsafe Tokens(UnsafePointer(ids))), perRow: perRow, weights: weights, owners: [copy])
}

/// Loss weights, finite and 0 or more; nil = all 1.
func lossWeights(_ pointer: UnsafePointer<Float>?, count: Int) throws(NestedError) -> Floats? {
  guard unsafe pointer != nil else { return nil }
  let weights = unsafe try array(pointer, count: count, "batch.weights")
  for i in 0..<count {
    guard unsafe weights[i].isFinite else {
      throw NestedError(.numeric, "batch.weights[\(i)] is not finite.", place: "batch.weights[\(i)]")
    }
    guard unsafe weights[i] >= 0 else {
      throw NestedError(.range, "batch.weights[\(i)] is negative.", place: "batch.weights[\(i)]")
    }
  }
  return unsafe Floats(UnsafeMutablePointer(mutating: weights))
}
