public import CNested
internal import NestedBase
internal import NestedCheckpoint
internal import NestedModels
internal import NestedTensor

// Section 7 of the header: saving and loading weights.

let saveWithoutSync = UInt32(1)  // NESTED_SAVE_NO_SYNC
let saveDelta = UInt32(2)  // NESTED_SAVE_DELTA
private let loadMapped = UInt32(1)  // NESTED_LOAD_MMAP

@_cdecl("nested_model_save")
public func nested_model_save(
  _ model: OpaquePointer?, _ path: UnsafePointer<CChar>?, _ flags: UInt32,
  _ run: UnsafePointer<nested_run>?
) -> nested_status {
  call("nested_model_save") { call throws(NestedError) in
    let object = unsafe try call.model(model)
    let path = unsafe try filePath(path)
    try checkSaveFlags(flags)
    try object.reading { () throws(NestedError) in
      unsafe try withRun(run, call, "save", total: 0) {
        (control: RunControl) throws(NestedError) in
        try object.model.save(path: path, sync: flags & saveWithoutSync == 0, control: control)
      }
    }
    call.log(Int(NESTED_LOG_INFO), "save", "model written to \(path.text)")
  }
}

func checkSaveFlags(_ value: UInt32) throws(NestedError) { try flags(value, allowed: saveWithoutSync) }

@_cdecl("nested_model_load")
public func nested_model_load(
  _ context: OpaquePointer?, _ path: UnsafePointer<CChar>?, _ flags: UInt32,
  _ run: UnsafePointer<nested_run>?, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> nested_status {
  call("nested_model_load") { call throws(NestedError) in
    let out = unsafe try NewHandle(out)
    let context = unsafe try call.context(context)
    let path = unsafe try filePath(path)
    try NestedABI.flags(flags, allowed: loadMapped)
    let mapped = flags & loadMapped != 0
    let model = unsafe try withRun(run, call, "load", total: 0) {
      (control: RunControl) throws(NestedError) in
      try Model.load(runtime: context.runtime, path: path, mapped: mapped, control: control)
    }
    if !mapped { try checkFinite(model) }
    try out.publish(.model, ModelObject(model, context))
    call.log(Int(NESTED_LOG_INFO), "load", "model read from \(path.text)")
  }
}

@_cdecl("nested_model_save_blob")
public func nested_model_save_blob(
  _ model: OpaquePointer?, _ flags: UInt32, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> nested_status {
  call("nested_model_save_blob") { call throws(NestedError) in
    let out = unsafe try NewHandle(out)
    let object = unsafe try call.model(model)
    try checkSaveFlags(flags)
    try reserve(3 * 4 * object.model.layout.count)
    let bytes = try object.reading { () throws(NestedError) in try object.model.bytes() }
    try out.publish(.blob, BlobObject(bytes))
  }
}

@_cdecl("nested_model_load_bytes")
public func nested_model_load_bytes(
  _ context: OpaquePointer?, _ bytes: UnsafeRawPointer?, _ size: Int, _ flags: UInt32,
  _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> nested_status {
  call("nested_model_load_bytes") { call throws(NestedError) in
    let out = unsafe try NewHandle(out)
    let context = unsafe try call.context(context)
    let copy = unsafe try byteArray(bytes, size)
    try NestedABI.flags(flags, allowed: loadMapped)
    if flags != 0 { throw NestedError(.unsupported, "bytes in memory are not mapped.", place: "flags") }
    let model = try Model.load(runtime: context.runtime, bytes: copy)
    try checkFinite(model)
    try out.publish(.model, ModelObject(model, context))
  }
}

/// A file may hold what no training leaves behind.
private func checkFinite(_ model: Model) throws(NestedError) {
  try model.withWeights { (weights: Floats) throws(NestedError) in
    for entry in model.layout.entries {
      guard model.runtime.kernels.allFinite(weights + entry.offset, entry.count) else {
        throw NestedError(
          .numeric, "[\(entry.name)] holds values that are not finite.", place: entry.name)
      }
    }
  }
}

/// The caller's bytes, copied.
func byteArray(_ bytes: UnsafeRawPointer?, _ size: Int) throws(NestedError) -> [UInt8] {
  let pointer = unsafe try array(
    bytes?.assumingMemoryBound(to: UInt8.self), count: size, "bytes", mayBeEmpty: true)
  try reserve(size)
  return unsafe [UInt8](UnsafeRawBufferPointer(start: pointer, count: size))
}

/// A path as the system will see it: unchanged bytes, not empty.
func filePath(_ path: UnsafePointer<CChar>?) throws(NestedError) -> FilePath {
  let path = unsafe try present(path, "path")
  guard let length = unsafe boundedLength(path, limit: 4096) else {
    throw NestedError(.range, "path is longer than 4095 bytes.", place: "path")
  }
  guard length > 0 else { throw NestedError(.argument, "path is empty.", place: "path") }
  return try FilePath(bytes: unsafe [UInt8](UnsafeRawBufferPointer(start: path, count: length)))
}
