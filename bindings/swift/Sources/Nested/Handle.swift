internal import CNested

/// One count of an object of the library, dropped when the last struct that holds it goes.
///
/// The library looks tickets up and never follows them, and locks what has to be locked, so a
/// handle may be used and dropped on any thread, in any order.
@safe final class Handle: @unchecked Sendable {
  private let ticket: OpaquePointer
  private let release: @convention(c) (OpaquePointer?) -> Void
  /// What the library points to while the object lives: the closure of a context's log.
  let keep: (any Sendable)?

  /// Adopts what `create` puts into its argument.
  init(
    release: @escaping @convention(c) (OpaquePointer?) -> Void, keep: (any Sendable)? = nil,
    failure: Failure? = nil, create: (UnsafeMutablePointer<OpaquePointer?>) -> nested_status
  ) throws(NestedError) {
    var out: OpaquePointer?
    try check(unsafe create(&out), underlying: failure?.error)
    guard let ticket = unsafe out else {
      throw NestedError(.internal, "the library made nothing", place: "")
    }
    unsafe self.ticket = ticket
    unsafe self.release = release
    self.keep = keep
  }

  deinit { unsafe release(ticket) }

  /// Lends the ticket; the object lives at least until `body` returns.
  func use<Result>(_ body: (OpaquePointer) -> Result) -> Result {
    withExtendedLifetime(self) { unsafe body(ticket) }
  }
}

extension Handle {
  /// An object made from this one, which keeps alive what this one keeps.
  func making(
    _ release: @escaping @convention(c) (OpaquePointer?) -> Void,
    _ create: (OpaquePointer, UnsafeMutablePointer<OpaquePointer?>) -> nested_status
  ) throws(NestedError) -> Handle {
    try unsafe Handle(release: release, keep: keep) { out in
      unsafe use { unsafe create($0, out) }
    }
  }

  /// The same with a companion.
  func making(
    _ release: @escaping @convention(c) (OpaquePointer?) -> Void, run: Run,
    _ create: (
      OpaquePointer, UnsafePointer<nested_run>, UnsafeMutablePointer<OpaquePointer?>
    ) -> nested_status
  ) throws(NestedError) -> Handle {
    let failure = Failure()
    return try unsafe Handle(release: release, keep: keep, failure: failure) { out in
      unsafe run.status(failure) { run in unsafe use { unsafe create($0, run, out) } }
    }
  }

  /// Bytes that the library makes from this object.
  func bytes(
    _ create: (OpaquePointer, UnsafeMutablePointer<OpaquePointer?>) -> nested_status
  ) throws(NestedError) -> [UInt8] {
    let blob = try unsafe making(nested_blob_release, create)
    return unsafe blob.use { ticket in
      let bytes = unsafe UnsafeRawBufferPointer(
        start: nested_blob_data(ticket), count: nested_blob_size(ticket))
      return unsafe [UInt8](bytes)
    }
  }

  /// Text that the library makes from this object.
  func text(
    _ create: (OpaquePointer, UnsafeMutablePointer<OpaquePointer?>) -> nested_status
  ) throws(NestedError) -> String {
    String(decoding: try unsafe bytes(create), as: UTF8.self)
  }
}
