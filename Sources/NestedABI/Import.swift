public import CNested
internal import NestedBase

// Section 7 of the header: models of other libraries.

@_cdecl("nested_model_import")
public func nested_model_import(
  _ context: OpaquePointer?, _ path: UnsafePointer<CChar>?, _ run: UnsafePointer<nested_run>?,
  _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> nested_status {
  call("nested_model_import") { _ throws(NestedError) in
    throw NestedError(.unsupported, "not built yet")
  }
}

@_cdecl("nested_model_stack")
public func nested_model_stack(
  _ model: OpaquePointer?, _ cms: UnsafePointer<CChar>?, _ length: Int, _ pretrained: Int32, _ seed: UInt64,
  _ run: UnsafePointer<nested_run>?, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> nested_status {
  call("nested_model_stack") { _ throws(NestedError) in
    throw NestedError(.unsupported, "not built yet")
  }
}
