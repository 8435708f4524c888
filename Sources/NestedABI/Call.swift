internal import CNested
internal import CNestedShims
internal import NestedBase

/// What an entry point carries on its way: whose log hears of it, and the host's floating-point environment for
/// callbacks. Log records wait here until the call has let go of its objects.
struct Call {
  let function: StaticString
  /// What nested_shim_float_enter() gave: callbacks run in it.
  let environment: UInt64
  /// The context that the call works under, once it is known.
  var context: ContextObject?
  fileprivate var records: [LogRecord] = []

  fileprivate init(_ function: StaticString, _ environment: UInt64) {
    self.function = function
    self.environment = environment
  }

  mutating func log(_ level: Int, _ component: StaticString, _ message: @autoclosure () -> String) {
    guard let context, context.logs(level) else { return }
    records.append(LogRecord(level: Int32(level), component: component, message: message()))
  }
}

/// The frame of every function with a status: the library's floating-point environment around it, every failure in
/// the thread's last error, log records delivered at the end. `body` writes through out-pointers last, when
/// nothing can fail any more.
func call(
  _ function: StaticString, _ body: (inout Call) throws(NestedError) -> Void
) -> nested_status {
  let environment = nested_shim_float_enter()
  defer { nested_shim_float_leave(environment) }
  var state = Call(function, environment)
  var failure: NestedError?
  do throws(NestedError) {
    // What an earlier call made in the emergency arena after its last check is its result and no failure of this one,
    // as long as there is room for what this one may need.
    _ = nested_shim_oom_take()
    if nested_shim_emergency_is_low() { throw outOfMemory }
    try body(&state)
  } catch {
    failure = error
  }
  if let context = state.context {
    if let failure { state.log(Int(NESTED_LOG_ERROR), "error", "\(function): \(failure.message)") }
    for record in state.records { context.deliver(record, environment) }
  }
  guard let failure else { return nested_status(NESTED_OK) }
  return record(failure, in: function)
}

let outOfMemory = NestedError(.noMemory, "Memory is exhausted.")

/// To be called before a result leaves the call: small objects may have come from the emergency arena.
func checkMemory() throws(NestedError) {
  if nested_shim_oom_take() { throw outOfMemory }
}

/// To be called before the Swift runtime makes a large array on a caller's word: it would end the process where there is no
/// room. Says so first.
func reserve(_ bytes: Int) throws(NestedError) {
  guard bytes > 1 << 16 else { return }
  guard let memory = unsafe nested_shim_allocate(bytes, 16) else { throw outOfMemory }
  unsafe nested_shim_release(memory)
}

/// Puts a failure where nested_last_error() finds it.
func record(_ error: NestedError, in function: StaticString) -> nested_status {
  var message = error.message.isEmpty ? "The call failed." : error.message
  var place = error.place
  message.withUTF8 { message in
    place.withUTF8 { place in
      unsafe nested_error_slot_set(
        error.code.rawValue, error.osError, error.callbackCode, Int64(error.offset),
        function.cString,
        UnsafeRawPointer(message.baseAddress)?.assumingMemoryBound(to: CChar.self), message.count,
        UnsafeRawPointer(place.baseAddress)?.assumingMemoryBound(to: CChar.self), place.count)
    }
  }
  return error.code.rawValue
}

/// Runs the host's code, from inside a call, in the host's floating-point environment.
func withHost<R>(_ environment: UInt64, _ body: () -> R) -> R {
  nested_shim_float_leave(environment)
  defer { _ = nested_shim_float_enter() }
  return body()
}

extension StaticString {
  /// Static and NUL-terminated, as literals are.
  var cString: UnsafePointer<CChar> {
    unsafe UnsafeRawPointer(utf8Start).assumingMemoryBound(to: CChar.self)
  }
}
