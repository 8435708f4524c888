package import NestedBase

/// What an operation needs: kernels of this CPU class, threads, memory, and the tape if gradients are wanted.
///
/// An engine serves one call at a time; a `Runtime` keeps warm ones.
package final class Engine {
  package let kernels: KernelSet
  package let threads: ThreadPool
  package let memory: StoragePool
  /// Operations on tensors with a slot are recorded here.
  package var tape: Tape?
  /// Multiplications with an addition that the operations have asked for: of matrix products, attention and memories, as
  /// their formulas have them. Element by element work is not in it.
  package var multiplyAdds = 0.0
  /// The angles of the last rotary embedding.
  var rotationTable: RotationTable?
  /// The pass that ran last, and how many storages the pool had made by then.
  private var warm: (owner: ObjectIdentifier, rows: Int, learns: Bool, trims: Int)?

  package init(kernels: KernelSet, threads: ThreadPool, budget: MemoryBudget) {
    self.kernels = kernels
    self.threads = threads
    memory = StoragePool(budget: budget)
  }

  /// Whether the last pass was this one and the pool has been left alone since, so that it needs no new memory.
  /// Notes the pass for the next question.
  package func isWarm(_ owner: AnyObject, _ rows: Int, learns: Bool) -> Bool {
    let now = (owner: ObjectIdentifier(owner), rows: rows, learns: learns, trims: memory.trims)
    defer { warm = now }
    guard let warm else { return false }
    return warm == now
  }

  /// After a failure: the next pass is not warm.
  package func cool() { warm = nil }

  /// False where only sizes are asked for: no loop over elements has a point.
  package var computes: Bool { threads.computes }

  package func empty(_ shape: Shape) throws(NestedError) -> Tensor {
    Tensor(shape, try memory.take(shape.count))
  }

  package func full(_ shape: Shape, _ value: Float) throws(NestedError) -> Tensor {
    let tensor = try empty(shape)
    if computes { tensor.floats.fill(value, count: shape.count) }
    return tensor
  }

  package func tensor(_ values: [Float], _ shape: Shape) throws(NestedError) -> Tensor {
    let tensor = try empty(shape)
    for (i, value) in values.enumerated() { tensor.floats[i] = value }
    return tensor
  }

  /// Runs body(0..<count), on all threads when the work (in multiply-adds) is worth waking them for. The cut into
  /// `count` parts must not depend on the number of threads.
  package func parallel(_ count: Int, work: Int, _ body: (Int) -> Void) {
    if !computes { return }
    if work < 200_000 || count == 1 {
      for i in 0..<count { body(i) }
    } else {
      threads.parallel(count, body)
    }
  }
}
