public import CNested
internal import NestedBase

// Section 10 of the header: sessions of kinds that read vectors, and labels.

@_cdecl("nested_session_feed_vectors")
public func nested_session_feed_vectors(
  _ session: OpaquePointer?, _ inputs: UnsafePointer<nested_cview>?, _ run: UnsafePointer<nested_run>?,
  _ outputs: UnsafePointer<nested_view>?, _ out: UnsafeMutablePointer<nested_feed>?
) -> nested_status {
  call("nested_session_feed_vectors") { _ throws(NestedError) in
    throw NestedError(.unsupported, "not built yet")
  }
}

@_cdecl("nested_session_teach")
public func nested_session_teach(
  _ session: OpaquePointer?, _ batch: UnsafePointer<nested_batch>?, _ run: UnsafePointer<nested_run>?,
  _ out: UnsafeMutablePointer<nested_eval>?
) -> nested_status {
  call("nested_session_teach") { _ throws(NestedError) in
    throw NestedError(.unsupported, "not built yet")
  }
}

@_cdecl("nested_session_predict")
public func nested_session_predict(
  _ session: OpaquePointer?, _ batch: UnsafePointer<nested_batch>?, _ run: UnsafePointer<nested_run>?,
  _ dst: UnsafePointer<nested_view>?
) -> nested_status {
  call("nested_session_predict") { _ throws(NestedError) in
    throw NestedError(.unsupported, "not built yet")
  }
}
