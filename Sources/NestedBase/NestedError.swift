/// The one error type of the library. NestedABI turns it into a `nested_status` and the thread's last error.
public struct NestedError: Error, Sendable {
  /// Raw values are those of `nested_status` in include/nested.h, permanent.
  public enum Code: Int32, Sendable, CaseIterable {
    case internalError = -1, argument = -2, handle = -3, range = -4, shape = -5, dtype = -6, layout = -7
    case capacity = -8, noMemory = -9, limit = -10, notFound = -11, exists = -12, unsupported = -13
    case version = -14, config = -15, parse = -16, corrupt = -17, io = -18, reentrant = -19
    case cancelled = -20, callback = -21, state = -22, numeric = -23, mismatch = -24, forked = -25
    case poisoned = -26
  }

  public var code: Code
  /// One English sentence without a newline.
  public var message: String
  /// JSON pointer, tensor name or argument name; "" when there is none.
  public var place: String
  /// Byte offset for `parse` and `corrupt`, else -1.
  public var offset: Int
  /// errno for `io`, else 0.
  public var osError: Int32
  /// What the host's callback returned, for `callback`, else 0.
  public var callbackCode: Int32

  public init(
    _ code: Code, _ message: String, place: String = "", offset: Int = -1, osError: Int32 = 0,
    callbackCode: Int32 = 0
  ) {
    self.code = code
    self.message = message
    self.place = place
    self.offset = offset
    self.osError = osError
    self.callbackCode = callbackCode
  }
}
