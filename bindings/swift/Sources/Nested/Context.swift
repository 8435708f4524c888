internal import CNested

/// Threads, memory and logging of everything that is made from it.
///
/// A context is a reference: copies are the same context. It lives as long as it, or anything made
/// from it, is held. Its threads stop with it.
public struct Context: Sendable {
  let handle: Handle

  /// Starts a context.
  ///
  /// - Parameters:
  ///   - threads: Threads that share the work, the caller's included; 0 = all cores, 1 = start
  ///     none, at most 1024. Results are the same bits for any number.
  ///   - memoryLimit: Bytes of tensors, 0 = no limit. What would pass it throws ``Status/limit``.
  ///   - log: Where log records go; `nil` = nowhere.
  /// - Throws: ``Status/unsupported`` on a processor older than x86-64-v3, ``Status/argument`` or
  ///   ``Status/range`` for numbers that are not allowed.
  public init(threads: Int = 0, memoryLimit: Int = 0, log: Log? = nil) throws(NestedError) {
    var options = unsafe nested_context_options.stamped()
    unsafe options.n_threads = Int32(clamping: threads)
    unsafe options.memory_limit = UInt64(try count(memoryLimit, place: "memoryLimit"))
    let target = log.map(LogTarget.init)
    if let target {
      unsafe options.log_level = target.log.level.constant
      unsafe options.log = LogTarget.receive
      unsafe options.log_user = Unmanaged.passUnretained(target).toOpaque()
    }
    handle = try unsafe Handle(release: nested_context_release, keep: target) { out in
      unsafe nested_context_create(&options, out)
    }
  }

  /// Memory of tensors, in bytes.
  public struct Memory: Hashable, Sendable {
    /// Now.
    public let inUse: Int
    /// The most there ever was.
    public let peak: Int
    /// The limit of the context, 0 = none.
    public let limit: Int
    /// Allocations so far; stands still once a loop is warm.
    public let allocations: Int
  }

  /// What the context's tensors occupy.
  public var memory: Memory {
    get throws(NestedError) {
      var record = nested_memory_stats.stamped()
      try check(unsafe handle.use { unsafe nested_context_memory($0, &record) })
      return Memory(
        inUse: Int(record.in_use), peak: Int(record.peak), limit: Int(record.limit),
        allocations: Int(record.n_allocations))
    }
  }
}
