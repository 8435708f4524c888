public import CNested
internal import NestedBase
internal import NestedCheckpoint
internal import NestedModels

// Section 6 of the header: configurations.

@_cdecl("nested_config_create")
public func nested_config_create(
  _ kind: Int32, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> nested_status {
  call("nested_config_create") { _ throws(NestedError) in
    let out = unsafe try NewHandle(out)
    guard let kind = ModelKind(number: kind), kind.isBuilt else {
      throw NestedError(.range, "kind \(kind) is not one of NESTED_KIND_*.", place: "kind")
    }
    try out.publish(.config, ConfigObject(ModelConfiguration(kind: kind)))
  }
}

@_cdecl("nested_config_from_json")
public func nested_config_from_json(
  _ json: UnsafePointer<CChar>?, _ length: Int, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> nested_status {
  call("nested_config_from_json") { _ throws(NestedError) in
    let out = unsafe try NewHandle(out)
    let value = unsafe try ModelConfiguration(json: jsonBytes(json, length, "json"))
    try value.validate()
    try out.publish(.config, ConfigObject(value))
  }
}

private func set(
  _ function: StaticString, _ config: OpaquePointer?, _ pointer: UnsafePointer<CChar>?,
  _ value: () throws(NestedError) -> JSONValue
) -> nested_status {
  call(function) { call throws(NestedError) in
    let object = unsafe try call.config(config)
    let pointer = unsafe try text(pointer, "pointer")
    let value = try value()
    try object.gate.withLock("config") { () throws(NestedError) in
      var copy = object.value
      do throws(NestedError) { try copy.set(pointer, to: value) } catch {
        // A key that is not there rather than a value that it cannot have.
        if error.code == .config { _ = try object.value.get(pointer) }
        throw error
      }
      try checkMemory()
      object.value = copy
    }
  }
}

@_cdecl("nested_config_set_int")
public func nested_config_set_int(
  _ config: OpaquePointer?, _ pointer: UnsafePointer<CChar>?, _ value: Int64
) -> nested_status {
  unsafe set("nested_config_set_int", config, pointer) { () throws(NestedError) in .int(Int(value))
  }
}

@_cdecl("nested_config_set_float")
public func nested_config_set_float(
  _ config: OpaquePointer?, _ pointer: UnsafePointer<CChar>?, _ value: Double
) -> nested_status {
  unsafe set("nested_config_set_float", config, pointer) { () throws(NestedError) in
    try finite(value, "value")
    return .double(value)
  }
}

@_cdecl("nested_config_set_string")
public func nested_config_set_string(
  _ config: OpaquePointer?, _ pointer: UnsafePointer<CChar>?, _ value: UnsafePointer<CChar>?
) -> nested_status {
  unsafe set("nested_config_set_string", config, pointer) { () throws(NestedError) in
    .string(unsafe try text(value, "value"))
  }
}

@_cdecl("nested_config_set_json")
public func nested_config_set_json(
  _ config: OpaquePointer?, _ pointer: UnsafePointer<CChar>?, _ json: UnsafePointer<CChar>?,
  _ length: Int
) -> nested_status {
  unsafe set("nested_config_set_json", config, pointer) { () throws(NestedError) in
    try JSONValue.parse(unsafe jsonBytes(json, length, "json"))
  }
}

private func get<T>(
  _ function: StaticString, _ config: OpaquePointer?, _ pointer: UnsafePointer<CChar>?,
  _ out: UnsafeMutablePointer<T>?, _ convert: (JSONValue) -> T?
) -> nested_status {
  call(function) { call throws(NestedError) in
    let out = unsafe try required(out, "out")
    let object = unsafe try call.config(config)
    let pointer = unsafe try text(pointer, "pointer")
    let value = try object.gate.withLock("config") { () throws(NestedError) in
      try object.value.get(pointer)
    }
    guard let result = convert(value) else {
      throw NestedError(.config, "This key holds \(value.summary).", place: pointer)
    }
    unsafe out.pointee = result
  }
}

@_cdecl("nested_config_get_int")
public func nested_config_get_int(
  _ config: OpaquePointer?, _ pointer: UnsafePointer<CChar>?, _ out: UnsafeMutablePointer<Int64>?
) -> nested_status {
  unsafe get("nested_config_get_int", config, pointer, out) {
    guard case .int(let value) = $0 else { return nil }
    return Int64(value)
  }
}

@_cdecl("nested_config_get_float")
public func nested_config_get_float(
  _ config: OpaquePointer?, _ pointer: UnsafePointer<CChar>?, _ out: UnsafeMutablePointer<Double>?
) -> nested_status {
  unsafe get("nested_config_get_float", config, pointer, out) {
    switch $0 {
    case .int(let value): Double(value)
    case .double(let value): value
    default: nil
    }
  }
}

@_cdecl("nested_config_to_json")
public func nested_config_to_json(
  _ config: OpaquePointer?, _ pointer: UnsafePointer<CChar>?,
  _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> nested_status {
  call("nested_config_to_json") { call throws(NestedError) in
    let out = unsafe try NewHandle(out)
    let object = unsafe try call.config(config)
    let pointer = unsafe pointer == nil ? "" : try text(pointer, "pointer")
    let json = try object.gate.withLock("config") { () throws(NestedError) in
      pointer.isEmpty
        ? object.value.canonicalJSON
        : try object.value.get(pointer).serialize(sorted: true)
    }
    try out.publish(.blob, BlobObject(json))
  }
}

@_cdecl("nested_config_validate")
public func nested_config_validate(_ config: OpaquePointer?) -> nested_status {
  call("nested_config_validate") { call throws(NestedError) in
    let object = unsafe try call.config(config)
    try object.gate.withLock("config") { () throws(NestedError) in try object.value.validate() }
  }
}

@_cdecl("nested_config_schema")
public func nested_config_schema() -> UnsafePointer<CChar>? { unsafe configSchema.pointer }

private let configSchema = StaticText(ModelConfiguration.schema)

@_cdecl("nested_config_release")
public func nested_config_release(_ config: OpaquePointer?) {
  unsafe handles.release(config, .config)
}

/// A C string that is made once and never freed.
@safe struct StaticText: @unchecked Sendable {
  let pointer: UnsafePointer<CChar>

  init(_ text: String) {
    let bytes = [UInt8](text.utf8)
    let copy = UnsafeMutablePointer<CChar>.allocate(capacity: bytes.count + 1)
    for (i, byte) in bytes.enumerated() { unsafe copy[i] = CChar(bitPattern: byte) }
    unsafe copy[bytes.count] = 0
    unsafe pointer = UnsafePointer(copy)
  }
}
