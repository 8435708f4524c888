public import CNested
internal import CNestedShims
internal import NestedBase
internal import NestedTensor

/// A caller's nested_run, resolved: its cancel token is pinned, so that a token released while the call runs keeps
/// its flag until the end.
@safe private struct Companion {
  let run: nested_run
  let cancel: HandleTable.Slot?
  let raised: UInt64  // payload of the pinned slot when its flag is up
  let environment: UInt64
  let start: UInt64

  var isCancelled: Bool { cancel.map { $0.payload == raised } ?? false }
}

/// When progress was last reported, and whether that was the start, which the work itself may report once more.
private final class Pace {
  var last: UInt64?
  var isAtStart = false
}

/// Runs `body` with the control that a caller's `run` asks for; NULL asks for none. Looks at the cancel token and
/// reports once before the work starts, and from then on at every chunk of it. `begin` comes before all that, when
/// nothing is wrong with the arguments any more: there a call says that it has committed nothing yet.
func withRun<R>(
  _ pointer: UnsafePointer<nested_run>?, _ call: Call, _ stage: StaticString, total: Int,
  begin: () -> Void = {}, _ body: (RunControl) throws(NestedError) -> R
) throws(NestedError) -> R {
  guard let run = unsafe try input(pointer, nested_run(), "run") else {
    begin()
    return try body(unwatched)
  }
  var slot: HandleTable.Slot?
  var raised: UInt64 = 0
  if let handle = unsafe run.cancel {
    guard let pinned = unsafe handles.pin(handle, .cancel) else {
      throw NestedError(
        .handle, "run.cancel is not a live cancel handle.", place: "run.cancel")
    }
    slot = pinned
    raised = (UInt64(UInt(bitPattern: handle)) >> 32 & 0xFF_FFFF) << 1 | 1
  }
  defer { if let slot { unsafe handles.unpin(slot, run.cancel) } }

  let companion = unsafe Companion(
    run: run, cancel: slot, raised: raised, environment: call.environment,
    start: nested_shim_monotonic_nanoseconds())
  let pace = Pace()
  let control = RunControl { (stage, done, total, loss) throws(NestedError) in
    try report(companion, pace, stage, done, total, loss)
  }
  begin()
  try control.report(stage, 0, total, .nan)
  pace.isAtStart = true
  return try body(control)
}

/// Nobody watches, but exhausted memory still ends a long call between its chunks.
var unwatched: RunControl {
  RunControl { (_, _, _, _) throws(NestedError) in try checkMemory() }
}

private func report(
  _ companion: Companion, _ pace: Pace, _ stage: StaticString, _ done: Int, _ total: Int,
  _ loss: Double
) throws(NestedError) {
  try checkMemory()
  if companion.isCancelled { throw NestedError(.cancelled, "The cancel token was raised.") }
  guard let progress = unsafe companion.run.progress else { return }
  if pace.isAtStart {
    pace.isAtStart = false
    if done == 0 { return }
  }
  let now = nested_shim_monotonic_nanoseconds()
  let interval = unsafe UInt64(companion.run.interval_ms) * 1_000_000
  if let last = pace.last, now &- last < interval { return }
  pace.last = now

  var record = unsafe nested_progress()
  unsafe record.struct_size = UInt32(MemoryLayout<nested_progress>.size)
  unsafe record.stage = stage.cString
  unsafe record.done = UInt64(max(done, 0))
  unsafe record.total = UInt64(max(total, 0))
  unsafe record.elapsed_s = Double(now &- companion.start) * 1e-9
  unsafe record.loss = loss
  let answer = withHost(companion.environment) { unsafe progress(companion.run.user, &record) }
  if answer > 0 { throw NestedError(.cancelled, "The progress callback asked to stop.") }
  if answer < 0 {
    throw NestedError(.callback, "The progress callback failed.", callbackCode: answer)
  }
  // The callback may have raised the token itself.
  if companion.isCancelled { throw NestedError(.cancelled, "The cancel token was raised.") }
}

// MARK: Section 5 of the header

private func cancelGeneration(_ handle: OpaquePointer?) -> UInt64 {
  UInt64(UInt(bitPattern: handle)) >> 32 & 0xFF_FFFF
}

@_cdecl("nested_cancel_create")
public func nested_cancel_create(_ out: UnsafeMutablePointer<OpaquePointer?>?) -> nested_status {
  call("nested_cancel_create") { _ throws(NestedError) in
    let out = unsafe try NewHandle(out)
    try out.publish(.cancel, nil)
  }
}

/// Sets the flag to `raised`. Async-signal-safe when the handle is live: atomic words only.
private func setCancel(_ handle: OpaquePointer?, _ raised: UInt64) -> Bool {
  guard let slot = unsafe handles.pin(handle, .cancel) else { return false }
  unsafe slot.setPayload(cancelGeneration(handle) << 1 | raised)
  unsafe handles.unpin(slot, handle)
  return true
}

private func badCancel(_ function: StaticString) -> nested_status {
  record(
    NestedError(
      .handle, "cancel is NULL or not a live handle of this kind.", place: "cancel"), in: function)
}

@_cdecl("nested_cancel_raise")
public func nested_cancel_raise(_ cancel: OpaquePointer?) -> nested_status {
  unsafe setCancel(cancel, 1) ? nested_status(NESTED_OK) : badCancel("nested_cancel_raise")
}

@_cdecl("nested_cancel_clear")
public func nested_cancel_clear(_ cancel: OpaquePointer?) -> nested_status {
  unsafe setCancel(cancel, 0) ? nested_status(NESTED_OK) : badCancel("nested_cancel_clear")
}

@_cdecl("nested_cancel_is_raised")
public func nested_cancel_is_raised(_ cancel: OpaquePointer?) -> Int32 {
  guard let slot = unsafe handles.pin(cancel, .cancel) else { return 0 }
  defer { unsafe handles.unpin(slot, cancel) }
  return unsafe slot.payload == cancelGeneration(cancel) << 1 | 1 ? 1 : 0
}

@_cdecl("nested_cancel_release")
public func nested_cancel_release(_ cancel: OpaquePointer?) {
  unsafe handles.release(cancel, .cancel)
}
