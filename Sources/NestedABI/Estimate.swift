public import CNested
internal import NestedBase

// Section 6 of the header: what a configuration costs.

@_cdecl("nested_config_estimate")
public func nested_config_estimate(
  _ config: OpaquePointer?, _ n_seq: Int64, _ seq_len: Int64, _ out: UnsafeMutablePointer<nested_estimate>?
) -> nested_status {
  call("nested_config_estimate") { _ throws(NestedError) in
    throw NestedError(.unsupported, "not built yet")
  }
}
