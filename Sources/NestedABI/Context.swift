public import CNested
internal import CNestedShims
internal import NestedBase
internal import NestedTensor

// Section 4 of the header: threads, memory, logging.

@_cdecl("nested_context_create")
public func nested_context_create(
  _ options: UnsafePointer<nested_context_options>?, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> nested_status {
  call("nested_context_create") { call throws(NestedError) in
    let out = unsafe try NewHandle(out)
    let options =
      unsafe try input(options, nested_context_options(), "options") ?? nested_context_options()
    let threads = unsafe options.n_threads
    guard threads >= 0, threads <= 1024 else {
      throw NestedError(
        .range, "options.n_threads is \(threads), not in 0...1024.", place: "options.n_threads")
    }
    guard unsafe options.log_level >= 0, unsafe options.log_level <= NESTED_LOG_DEBUG else {
      throw NestedError(
        .range, "options.log_level is not one of NESTED_LOG_*.", place: "options.log_level")
    }
    guard unsafe options.reserved == 0 else {
      throw NestedError(.argument, "options.reserved must be 0.", place: "options.reserved")
    }
    guard let limit = unsafe Int(exactly: options.memory_limit) else {
      throw NestedError(
        .range, "options.memory_limit is beyond the address space.", place: "options.memory_limit")
    }
    let fork = nested_shim_fork_watch()
    guard fork == 0 else {
      throw NestedError(.noMemory, "No memory to watch for forks.", osError: fork)
    }
    let object = unsafe try ContextObject(
      options, threads: threads == 0 ? min(Int(nested_shim_available_cores()), 1024) : Int(threads),
      memoryLimit: limit)
    call.context = object
    try out.publish(.context, object)
    call.log(Int(NESTED_LOG_INFO), "context", "made with \(object.runtime.threads.threads) threads")
  }
}

@_cdecl("nested_context_retain")
public func nested_context_retain(_ context: OpaquePointer?) -> nested_status {
  unsafe retain(context, .context, "nested_context_retain", "context")
}

@_cdecl("nested_context_release")
public func nested_context_release(_ context: OpaquePointer?) {
  unsafe handles.release(context, .context)
}

@_cdecl("nested_context_memory")
public func nested_context_memory(
  _ context: OpaquePointer?, _ out: UnsafeMutablePointer<nested_memory_stats>?
) -> nested_status {
  call("nested_context_memory") { call throws(NestedError) in
    let out = unsafe try Output(out, "out")
    let budget = unsafe try call.context(context).runtime.budget
    let usage = budget.current
    var stats = nested_memory_stats()
    stats.in_use = UInt64(max(usage.inUse, 0))
    stats.peak = UInt64(max(usage.peak, 0))
    stats.limit = UInt64(max(budget.limit, 0))
    stats.n_allocations = UInt64(max(usage.allocations, 0))
    out.write(stats)
  }
}

/// One more handle on the object behind a ticket.
func retain(
  _ handle: OpaquePointer?, _ kind: HandleKind, _ function: StaticString, _ name: StaticString
) -> nested_status {
  call(function) { _ throws(NestedError) in
    guard unsafe try handles.retain(handle, kind) else {
      throw NestedError(
        .handle, "\(name) is NULL or not a live handle of this kind.", place: "\(name)")
    }
  }
}
