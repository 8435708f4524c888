internal import CNested

/// What every throwing function of this module throws.
///
/// A call that throws has left every object as it was, except for what ``committed`` says.
public struct NestedError: Error, Sendable {
  /// Why.
  public let status: Status
  /// One English sentence.
  public let message: String
  /// A JSON pointer, or the name of a tensor or argument; empty where there is none.
  public let place: String
  /// The entry point of the library that failed, or the function of this module that refused.
  public let function: String
  /// `errno` for ``Status/io``, otherwise 0.
  public let osError: Int32
  /// The byte for ``Status/parse`` and ``Status/corrupt``, where one is known.
  public let offset: Int?
  /// What a long call had done before it ended early, and what stays done: tokens read by `feed`,
  /// tokens written by `generate`, steps made by `fit`, sessions fed by `feedEach`. `nil` for other
  /// calls.
  public internal(set) var committed: Int?
  /// The error that a closure threw (``Status/callback``), otherwise `nil`.
  public let underlying: (any Error)?
}

extension NestedError: CustomStringConvertible {
  /// Everything it knows, in one line.
  public var description: String {
    var text = "\(function): \(message)"
    if !place.isEmpty { text += " (\(place))" }
    if let offset { text += " at byte \(offset)" }
    if osError != 0 { text += ", errno \(osError)" }
    text += " [\(status)]"
    if let underlying { text += ": \(underlying)" }
    return text
  }
}

extension NestedError {
  /// A refusal of this module, before the library is called.
  init(_ status: Status, _ message: String, place: String, function: String = #function) {
    self.init(
      status: status, message: message, place: place, function: function, osError: 0, offset: nil,
      committed: nil, underlying: nil)
  }

  /// The last failure on this thread.
  init(_ status: nested_status, underlying: (any Error)?) {
    var record = unsafe nested_error.stamped()
    guard unsafe nested_last_error(&record) == NESTED_OK, unsafe record.status == status else {
      self.init(Status(rawValue: status), "the call failed", place: "", function: "")
      return
    }
    self.init(
      status: Status(rawValue: status), message: unsafe String(cString: record.message),
      place: unsafe String(cString: record.place),
      function: unsafe String(cString: record.function),
      osError: unsafe record.os_error,
      offset: unsafe record.offset >= 0 ? Int(record.offset) : nil,
      committed: nil, underlying: underlying)
  }
}

/// Throws for a negative status. To be called on the thread that made the call, right after it.
func check(
  _ status: nested_status, committed: @autoclosure () -> Int? = nil,
  underlying: @autoclosure () -> (any Error)? = nil
) throws(NestedError) {
  guard status < NESTED_OK else { return }
  var error = NestedError(
    status, underlying: status == NESTED_E_CALLBACK ? underlying() : nil)
  error.committed = committed()
  throw error
}
