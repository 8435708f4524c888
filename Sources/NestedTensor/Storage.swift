internal import CNestedShims
package import NestedBase

/// Owns `count` floats, aligned to 64 bytes and charged to a budget. One of the few places that touch raw memory.
@safe package final class Storage: @unchecked Sendable {
  package let floats: Floats
  package let count: Int
  private let budget: MemoryBudget
  /// Whose memory it is, if not our own: a mapped file, or the room of a budget that only counts.
  private let owner: AnyObject?
  /// Bytes charged to the budget.
  private let claimed: Int
  /// Part of a file: to be copied before a change, whoever holds it.
  package let isMapped: Bool

  /// Contents are undefined.
  package init(count: Int, budget: MemoryBudget) throws(NestedError) {
    let (bytes, overflow) = max(count, 16).multipliedReportingOverflow(by: 4)
    if overflow || count < 0 { throw NestedError(.noMemory, "no memory for \(count) floats") }
    try budget.claim(bytes)
    if let room = budget.room {
      do throws(NestedError) { (floats, owner) = try room.floats(bytes) } catch {
        budget.release(bytes)
        throw error
      }
    } else {
      guard let memory = unsafe nested_shim_allocate(bytes, 64) else {
        budget.release(bytes)
        throw NestedError(.noMemory, "no memory for \(bytes) bytes")
      }
      unsafe floats = Floats(memory.bindMemory(to: Float.self, capacity: max(count, 16)))
      owner = nil
    }
    (self.count, self.budget, claimed, isMapped) = (count, budget, bytes, false)
  }

  /// `count` floats of a file that `owner` keeps mapped. They are read only, and no memory of the budget.
  package init(mapped floats: Floats, count: Int, owner: AnyObject, budget: MemoryBudget) {
    (self.floats, self.count, self.owner, self.budget) = (floats, count, owner, budget)
    (claimed, isMapped) = (0, true)
  }

  deinit {
    if owner == nil { unsafe nested_shim_release(floats.pointer) }
    budget.release(claimed)
  }

  package func copy() throws(NestedError) -> Storage {
    let other = try Storage(count: count, budget: budget)
    if budget.room == nil { other.floats.copy(from: floats, count: count) }
    return other
  }
}

/// Storages of one engine, used again and again: once every size has been seen, nothing is allocated.
///
/// A storage is free when nobody but the pool refers to it, so there is nothing to give back. Not for use by two
/// threads at a time.
package final class StoragePool {
  private struct Bucket {
    var size: Int
    var items: [Storage] = []
    var cursor = 0
    /// How many of the items may be looked at before another is made. It grows with every take, so that a pass that holds
    /// all of them looks at a few each time, and in a loop that is warm all of them come into question.
    var looks = 0

    /// The next item that is not in use, among as many as `looks` says.
    mutating func free() -> Storage? {
      while looks > 0 {
        looks -= 1
        let at = cursor
        cursor = at + 1 == items.count ? 0 : at + 1
        if isKnownUniquelyReferenced(&items[at]) { return items[at] }
      }
      return nil
    }
  }

  package let budget: MemoryBudget
  /// Tests fill what is handed out with NaN, so that an element nobody wrote shows.
  package var poisons = false
  private var buckets: [Bucket] = []
  /// How often `trim` was called.
  private(set) var trims = 0

  package init(budget: MemoryBudget) { self.budget = budget }

  package func take(_ count: Int) throws(NestedError) -> Storage {
    let size = StoragePool.sizeClass(count)
    let index = bucket(size)
    buckets[index].looks = min(buckets[index].items.count, buckets[index].looks + 16)
    let storage: Storage
    if let free = buckets[index].free() {
      storage = free
    } else {
      do throws(NestedError) {
        storage = try Storage(count: size, budget: budget)
        buckets[index].items.append(storage)
      } catch {
        // A pass that has been run before relies on what is there.
        buckets[index].looks = buckets[index].items.count
        guard let free = buckets[index].free() else { throw error }
        storage = free
      }
    }
    if poisons { storage.floats.fill(.nan, count: size) }
    return storage
  }

  /// Drops every storage that is not in use.
  package func trim() {
    buckets.removeAll()
    trims += 1
  }

  /// Multiples of 16 up to 256, then eight steps per power of two: at most an eighth is wasted.
  static func sizeClass(_ count: Int) -> Int {
    if count <= 256 { return max(16, (count + 15) / 16 * 16) }
    let step = 1 << (Int.bitWidth - count.leadingZeroBitCount - 4)
    return (count + step - 1) / step * step
  }

  private func bucket(_ size: Int) -> Int {
    var low = 0, high = buckets.count
    while low < high {
      let middle = (low + high) / 2
      if buckets[middle].size < size { low = middle + 1 } else { high = middle }
    }
    if low == buckets.count || buckets[low].size != size {
      buckets.insert(Bucket(size: size), at: low)
    }
    return low
  }
}
