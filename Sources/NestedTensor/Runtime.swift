package import NestedBase

/// What everything made in one context shares: kernels, threads, memory budget, and engines kept warm.
package final class Runtime: @unchecked Sendable {
  package let kernels: KernelSet
  package let threads: ThreadPool
  package let budget: MemoryBudget
  private let mutex = Mutex()
  private var idle: [Engine] = []

  /// threads: at least 1; memoryLimit in bytes, 0 = none. Throws `unsupported` on a processor that the kernels
  /// are not compiled for.
  package init(
    threads: Int, memoryLimit: Int = 0, kernels: KernelSet? = KernelSet.current
  ) throws(NestedError) {
    guard let kernels else {
      throw NestedError(.unsupported, "libnested needs a processor of class x86-64-v3 or later")
    }
    self.kernels = kernels
    self.threads = try ThreadPool(threads: threads)
    budget = MemoryBudget(limit: memoryLimit)
    idle.reserveCapacity(64)
  }

  /// A runtime that takes the memory another would take, and computes nothing: its budget then says what a call needs, its
  /// engines how much they would have multiplied. All its storages are one piece of memory, whose contents mean nothing.
  package init(counting kernels: KernelSet? = KernelSet.current) throws(NestedError) {
    guard let kernels else {
      throw NestedError(.unsupported, "libnested needs a processor of class x86-64-v3 or later")
    }
    self.kernels = kernels.idle
    threads = try ThreadPool(threads: 1, computes: false)
    budget = MemoryBudget(room: CountingRoom())
    idle.reserveCapacity(64)
  }

  package var computes: Bool { threads.computes }

  /// Of all engines, none of which is in use.
  package var multiplyAdds: Double { mutex.withLock { idle.reduce(0) { $0 + $1.multiplyAdds } } }

  deinit { threads.shutdown() }

  /// An engine for one call; a warm one if there is any.
  package func checkOut() throws(NestedError) -> Engine {
    if let engine = mutex.withLock({ idle.popLast() }) { return engine }
    return Engine(kernels: kernels, threads: threads, budget: budget)
  }

  package func checkIn(_ engine: Engine) {
    engine.tape = nil
    mutex.withLock { if idle.count < 64 { idle.append(engine) } }
  }

  /// Frees the memory of idle engines.
  package func trim() {
    let engines = mutex.withLock { () -> [Engine] in
      defer { idle.removeAll(keepingCapacity: true) }
      return idle
    }
    for engine in engines { engine.memory.trim() }
  }
}

/// A caller's wish to see progress and to stop a long call, asked between its chunks.
package struct RunControl {
  /// (stage, done, total, loss); throws `cancelled` or `callback` to end the call.
  package let poll: ((StaticString, Int, Int, Double) throws(NestedError) -> Void)?

  package init(poll: ((StaticString, Int, Int, Double) throws(NestedError) -> Void)?) {
    self.poll = poll
  }

  package static var none: RunControl { RunControl(poll: nil) }

  package func report(
    _ stage: StaticString, _ done: Int, _ total: Int, _ loss: Double
  ) throws(NestedError) {
    if let poll { try poll(stage, done, total, loss) }
  }
}
