internal import Glibc
package import NestedBase

/// The memory behind all storages of a runtime that only counts: address space in which one lies upon the other. What the
/// few loops that are not skipped write becomes memory of the process, as much as the largest of them reaches.
@safe package final class CountingRoom: @unchecked Sendable {
  private let mutex = Mutex()
  private var region: Region?

  package init() {}

  /// Room for `bytes`, and what keeps it.
  package func floats(_ bytes: Int) throws(NestedError) -> (Floats, AnyObject) {
    mutex.lock()
    defer { mutex.unlock() }
    if let region, region.bytes >= bytes { return (region.floats, region) }
    let made = try Region(max(bytes, 2 * (region?.bytes ?? 1 << 29)))
    region = made
    return (made.floats, made)
  }

  /// Zeros that take no memory until they are written.
  @safe private final class Region {
    let bytes: Int
    private let start: UnsafeMutableRawPointer
    var floats: Floats { unsafe Floats(start.assumingMemoryBound(to: Float.self)) }

    init(_ bytes: Int) throws(NestedError) {
      let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
      guard let start = unsafe mmap(nil, bytes, PROT_READ | PROT_WRITE, flags, -1, 0), unsafe start != MAP_FAILED
      else { throw NestedError(.noMemory, "no address space for \(bytes) bytes") }
      unsafe self.start = start
      self.bytes = bytes
    }
    deinit { unsafe munmap(start, bytes) }
  }
}
