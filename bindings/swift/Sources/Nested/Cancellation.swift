internal import CNested

/// A flag that ends long calls early; any thread may raise it, and so may a signal handler.
///
/// A call that watches it (``Run``) ends at the next chunk of work with ``Status/cancelled``; what
/// it had committed stays (``NestedError/committed``). The flag stays up until ``clear()``.
///
/// With structured concurrency:
/// ```swift
/// try await withTaskCancellationHandler {
///   try trainer.fit(text, steps: 1000, batch: 8, length: 64, run: Run(cancellation: stop))
/// } onCancel: {
///   stop.raise()
/// }
/// ```
public struct Cancellation: Sendable {
  let handle: Handle

  /// A flag that is down.
  public init() throws(NestedError) {
    handle = try unsafe Handle(release: nested_cancel_release) { unsafe nested_cancel_create($0) }
  }

  /// Raises the flag. Takes no lock and no memory, so a signal handler may call it, on a value that
  /// was made before.
  public func raise() {
    unsafe handle.use { ticket in _ = unsafe nested_cancel_raise(ticket) }
  }

  /// Lowers the flag for the next call.
  public func clear() {
    unsafe handle.use { ticket in _ = unsafe nested_cancel_clear(ticket) }
  }

  /// Whether the flag is up.
  public var isRaised: Bool {
    unsafe handle.use { unsafe nested_cancel_is_raised($0) != 0 }
  }
}
