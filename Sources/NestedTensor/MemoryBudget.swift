internal import NestedBase

/// Counts a context's tensor memory and refuses what goes over its limit.
package final class MemoryBudget: @unchecked Sendable {
  package struct Usage: Sendable {
    package var inUse = 0, peak = 0, allocations = 0
  }

  /// Bytes, 0 = no limit.
  package let limit: Int
  /// Where all storages lie, if this budget counts what is never computed.
  package let room: CountingRoom?
  private let mutex = Mutex()
  private var usage = Usage()
  private var refuseAt = 0

  package init(limit: Int = 0, room: CountingRoom? = nil) {
    self.limit = limit
    self.room = room
  }

  package var current: Usage { mutex.withLock { usage } }

  /// For tests: the n-th allocation from now on fails; 0 = none.
  package func refuse(allocation n: Int) { mutex.withLock { refuseAt = n } }

  func claim(_ bytes: Int) throws(NestedError) {
    let refused = mutex.withLock { () -> NestedError.Code? in
      if refuseAt > 0 {
        refuseAt -= 1
        if refuseAt == 0 { return .noMemory }
      }
      let (total, overflow) = usage.inUse.addingReportingOverflow(bytes)
      if overflow { return .noMemory }
      if limit > 0 && total > limit { return .limit }
      usage.inUse = total
      usage.peak = max(usage.peak, usage.inUse)
      usage.allocations += 1
      return nil
    }
    guard let code = refused else { return }
    throw NestedError(
      code,
      code == .limit
        ? "the context's memory limit of \(limit) bytes does not allow \(bytes) bytes more"
        : "no memory for \(bytes) bytes")
  }

  func release(_ bytes: Int) { mutex.withLock { usage.inUse -= bytes } }
}
