package import NestedBase

/// Gradients of an operation's inputs, given that of its output. A nil in the result means that the input needs
/// none, or that it was added to the input's sink.
package typealias Pullback = (Engine, Tensor) throws(NestedError) -> [Tensor?]

/// The operations of a forward pass in order, as a flat array: backward is a loop, and releasing it is one too.
package final class Tape {
  private struct Entry {
    let inputs: [Int]  // slots, -1 for constants
    let output: Int
    let pullback: Pullback
  }

  private var entries: [Entry] = []
  private var slots = 0
  private var sinks: [(slot: Int, gradient: Floats, inputs: Floats?)] = []
  private var gradients: [Tensor?] = []
  /// Factor on the layers' inputs where a sink collects them.
  package var inputWeight: Float = 1

  package init() {}

  /// Makes `tensor` a variable whose gradient can be asked for after `backward`.
  package func variable(_ tensor: Tensor) -> Tensor {
    var copy = tensor
    copy.slot = slots
    slots += 1
    return copy
  }

  /// Makes `tensor` a variable whose gradient is added to `gradient`, in the tensor's own layout. If it is the weight
  /// [out, in] of `Engine.linear`, `inputs` [in], where given, receives the sum of the rows it was multiplied with.
  package func variable(_ tensor: Tensor, addingTo gradient: Floats, inputs: Floats? = nil) -> Tensor {
    let copy = variable(tensor)
    sinks.append((copy.slot, gradient, inputs))
    return copy
  }

  /// Where the gradient of a variable is to be added, if it has such a place.
  package func sink(_ slot: Int) -> Floats? { sinkIndex(slot).map { sinks[$0].gradient } }

  /// Where the inputs of a weight are to be added.
  func inputs(_ slot: Int) -> Floats? { sinkIndex(slot).flatMap { sinks[$0].inputs } }

  /// Slots of sinks ascend.
  private func sinkIndex(_ slot: Int) -> Int? {
    var low = 0, high = sinks.count
    while low < high {
      let middle = (low + high) / 2
      if sinks[middle].slot < slot { low = middle + 1 } else { high = middle }
    }
    return low < sinks.count && sinks[low].slot == slot ? low : nil
  }

  /// `output` as the result of an operation on `inputs`.
  func record(_ inputs: [Tensor], _ output: Tensor, _ pullback: @escaping Pullback) -> Tensor {
    let recorded = variable(output)
    entries.append(Entry(inputs: inputs.map(\.slot), output: recorded.slot, pullback: pullback))
    return recorded
  }

  /// Walks the tape back from `output` with dL/d(output) = `seed`. With `again` the walk is itself recorded, so that the
  /// gradients can be differentiated (plain operations only).
  package func backward(
    _ engine: Engine, from output: Tensor, seed: Tensor, again: Bool = false
  ) throws(NestedError) {
    gradients = [Tensor?](repeating: nil, count: slots)
    precondition(output.slot >= 0, "[backward] the output does not depend on a variable")
    gradients[output.slot] = seed
    let outer = engine.tape
    engine.tape = again ? self : nil
    defer { engine.tape = outer }
    var index = entries.count - 1
    while index >= 0 {
      let entry = entries[index]
      index -= 1
      guard let incoming = gradients[entry.output] else { continue }
      if !again { gradients[entry.output] = nil }
      let results = try entry.pullback(engine, incoming)
      for (slot, result) in zip(entry.inputs, results) where slot >= 0 {
        guard let result else { continue }
        if let sink = sink(slot) {
          engine.kernels.axpy(sink, result.floats, 1, result.count)
        } else if let before = gradients[slot] {
          gradients[slot] = try engine.add(before, result)
        } else {
          gradients[slot] = result
        }
      }
    }
  }

  /// dL/d(variable) after `backward`; nil if the output does not depend on it.
  package func gradient(_ variable: Tensor) -> Tensor? {
    gradients.indices.contains(variable.slot) ? gradients[variable.slot] : nil
  }
}

extension Engine {
  /// Whether an operation on these inputs is to be recorded. Ask first: a pullback is a heap object.
  @inline(__always)
  func records(_ a: Tensor, _ b: Tensor? = nil, _ c: Tensor? = nil) -> Bool {
    tape != nil && (a.slot >= 0 || (b?.slot ?? -1) >= 0 || (c?.slot ?? -1) >= 0)
  }

  /// Records an operation, if there is a tape.
  func record(_ inputs: [Tensor], _ output: Tensor, _ pullback: @escaping Pullback) -> Tensor {
    guard let tape else { return output }
    return tape.record(inputs, output, pullback)
  }

  /// Where a fused pullback adds a weight's gradient: the sink, or a new tensor of zeros to return.
  func gradientPlace(_ weight: Tensor, _ tape: Tape) throws(NestedError) -> (Floats, Tensor?) {
    if let sink = tape.sink(weight.slot) { return (sink, nil) }
    let zeros = try full(weight.shape, 0)
    return (zeros.floats, zeros)
  }
}
