public import CNested
internal import NestedBase
internal import NestedCheckpoint
internal import NestedModels
internal import NestedTensor
internal import NestedTraining

// Section 10 of the header: frozen states and session files.

@_cdecl("nested_session_snapshot")
public func nested_session_snapshot(
  _ session: OpaquePointer?, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> nested_status {
  call("nested_session_snapshot") { call throws(NestedError) in
    let out = unsafe try NewHandle(out)
    let object = unsafe try call.session(session)
    try out.publish(.snapshot, SnapshotObject(snapshot(object), object.model))
  }
}

private func snapshot(_ object: SessionObject) throws(NestedError) -> SessionState {
  try object.using { () throws(NestedError) in try object.session.snapshot() }
}

@_cdecl("nested_session_restore")
public func nested_session_restore(_ session: OpaquePointer?, _ snapshot: OpaquePointer?)
  -> nested_status
{
  call("nested_session_restore") { call throws(NestedError) in
    let object = unsafe try call.session(session)
    let frozen = unsafe try call.snapshot(snapshot)
    guard
      object.model.model.configuration.fingerprint == frozen.model.model.configuration.fingerprint
    else {
      throw NestedError(
        .mismatch, "The snapshot is of another architecture than the session.", place: "snapshot")
    }
    try object.using { () throws(NestedError) in
      try object.session.restore(frozen.state)
    }
  }
}

@_cdecl("nested_snapshot_to_blob")
public func nested_snapshot_to_blob(
  _ snapshot: OpaquePointer?, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> nested_status {
  unsafe blob("nested_snapshot_to_blob", snapshot, delta: false, out)
}

@_cdecl("nested_snapshot_delta_to_blob")
public func nested_snapshot_delta_to_blob(
  _ snapshot: OpaquePointer?, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> nested_status {
  unsafe blob("nested_snapshot_delta_to_blob", snapshot, delta: true, out)
}

private func blob(
  _ function: StaticString, _ snapshot: OpaquePointer?, delta: Bool,
  _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> nested_status {
  call(function) { call throws(NestedError) in
    let out = unsafe try NewHandle(out)
    let frozen = unsafe try call.snapshot(snapshot)
    if delta { try frozen.model.checkReadable() }
    // At most the levels' weights, pending gradients and optimizer states, in the writer and in its result.
    try reserve(8 * 4 * frozen.model.model.layout.count)
    try out.publish(.blob, BlobObject(frozen.state.bytes(delta: delta)))
  }
}

@_cdecl("nested_snapshot_from_bytes")
public func nested_snapshot_from_bytes(
  _ model: OpaquePointer?, _ bytes: UnsafeRawPointer?, _ size: Int,
  _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> nested_status {
  call("nested_snapshot_from_bytes") { call throws(NestedError) in
    let out = unsafe try NewHandle(out)
    let object = unsafe try call.model(model)
    let copy = unsafe try byteArray(bytes, size)
    let state = try object.reading { () throws(NestedError) in
      try SessionState(model: object.model, bytes: copy)
    }
    try out.publish(.snapshot, SnapshotObject(state, object))
  }
}

@_cdecl("nested_snapshot_retain")
public func nested_snapshot_retain(_ snapshot: OpaquePointer?) -> nested_status {
  unsafe retain(snapshot, .snapshot, "nested_snapshot_retain", "snapshot")
}

@_cdecl("nested_snapshot_release")
public func nested_snapshot_release(_ snapshot: OpaquePointer?) {
  unsafe handles.release(snapshot, .snapshot)
}

@_cdecl("nested_session_save")
public func nested_session_save(
  _ session: OpaquePointer?, _ path: UnsafePointer<CChar>?, _ flags: UInt32,
  _ run: UnsafePointer<nested_run>?
) -> nested_status {
  call("nested_session_save") { call throws(NestedError) in
    let object = unsafe try call.session(session)
    let path = unsafe try filePath(path)
    try NestedABI.flags(flags, allowed: saveWithoutSync | saveDelta)
    let delta = flags & saveDelta != 0
    if delta { try object.model.checkReadable() }
    let state = try snapshot(object)
    unsafe try withRun(run, call, "save", total: 0) { (control: RunControl) throws(NestedError) in
      try state.save(
        path: path, delta: delta, sync: flags & saveWithoutSync == 0, control: control)
    }
    call.log(Int(NESTED_LOG_INFO), "save", "session written to \(path.text)")
  }
}

@_cdecl("nested_session_load")
public func nested_session_load(
  _ model: OpaquePointer?, _ path: UnsafePointer<CChar>?, _ run: UnsafePointer<nested_run>?,
  _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> nested_status {
  call("nested_session_load") { call throws(NestedError) in
    let out = unsafe try NewHandle(out)
    let object = unsafe try call.model(model)
    let path = unsafe try filePath(path)
    try object.checkReadable()
    let session = unsafe try withRun(run, call, "load", total: 1) {
      (control: RunControl) throws(NestedError) in
      try Session.load(model: object.model, path: path, control: control)
    }
    try out.publish(.session, SessionObject(session, object))
    call.log(Int(NESTED_LOG_INFO), "load", "session read from \(path.text)")
  }
}
