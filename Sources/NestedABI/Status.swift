public import CNested
internal import CNestedShims
internal import NestedBase

// Section 1 of the header: status codes and errors.

@_cdecl("nested_status_name")
public func nested_status_name(_ status: nested_status) -> UnsafePointer<CChar>? {
  let name: StaticString =
    switch status {
    case 0: "NESTED_OK"
    case -1: "NESTED_E_INTERNAL"
    case -2: "NESTED_E_ARGUMENT"
    case -3: "NESTED_E_HANDLE"
    case -4: "NESTED_E_RANGE"
    case -5: "NESTED_E_SHAPE"
    case -6: "NESTED_E_DTYPE"
    case -7: "NESTED_E_LAYOUT"
    case -8: "NESTED_E_CAPACITY"
    case -9: "NESTED_E_NOMEM"
    case -10: "NESTED_E_LIMIT"
    case -11: "NESTED_E_NOT_FOUND"
    case -12: "NESTED_E_EXISTS"
    case -13: "NESTED_E_UNSUPPORTED"
    case -14: "NESTED_E_VERSION"
    case -15: "NESTED_E_CONFIG"
    case -16: "NESTED_E_PARSE"
    case -17: "NESTED_E_CORRUPT"
    case -18: "NESTED_E_IO"
    case -19: "NESTED_E_REENTRANT"
    case -20: "NESTED_E_CANCELLED"
    case -21: "NESTED_E_CALLBACK"
    case -22: "NESTED_E_STATE"
    case -23: "NESTED_E_NUMERIC"
    case -24: "NESTED_E_MISMATCH"
    case -25: "NESTED_E_FORKED"
    case -26: "NESTED_E_POISONED"
    default: "NESTED_E_?"
    }
  return unsafe name.cString
}

@_cdecl("nested_last_error")
public func nested_last_error(_ out: UnsafeMutablePointer<nested_error>?) -> nested_status {
  // A bad `out` must not overwrite the failure that the caller asks about.
  let output: Output<nested_error>
  do throws(NestedError) { unsafe output = unsafe try Output(out, "out") } catch {
    return error.code.rawValue
  }
  var error = unsafe nested_error()
  let none: StaticString = ""
  guard let slot = unsafe nested_error_slot_get()?.pointee else { return nested_status(NESTED_OK) }
  unsafe error.status = unsafe slot.status
  unsafe error.os_error = unsafe slot.os_error
  unsafe error.callback_code = unsafe slot.callback_code
  unsafe error.offset = unsafe slot.offset
  unsafe error.function = slot.function ?? none.cString
  unsafe error.message = nested_error_slot_message()
  unsafe error.place = nested_error_slot_place()
  unsafe output.write(error)
  return nested_status(NESTED_OK)
}
