internal import CNested

/// What a closure says to the call that runs it.
public enum ControlFlow: Sendable {
  /// Go on.
  case `continue`
  /// End the call.
  case stop
}

/// How far a long call is.
public struct Progress: Sendable {
  /// "load", "save", "fit", "feed", ...
  public let stage: String
  /// Steps, tokens or bytes done.
  public let done: Int
  /// Of so many; 0 = unknown.
  public let total: Int
  /// Seconds since the call began.
  public let elapsed: Double
  /// Running loss in nats, NaN where there is none.
  public let loss: Double
}

/// Optional companion of every long call: how to watch it and how to end it.
///
/// A call looks at the flag and reports progress once before it starts, and between chunks of work:
/// a step of training, a segment of a stream.
///
/// ```swift
/// try trainer.fit(text, steps: 100, batch: 8, length: 64, run: Run { progress in
///   print(progress.done, progress.loss)
///   return .continue
/// })
/// ```
public struct Run {
  /// Ends the call with ``Status/cancelled`` when it is raised.
  public var cancellation: Cancellation?
  /// Least time between two reports in milliseconds; 0 = report every chunk.
  public var interval: Int
  /// Called on the thread that made the call. ``ControlFlow/stop`` ends the call with
  /// ``Status/cancelled``; an error that it throws ends it with ``Status/callback`` and arrives as
  /// ``NestedError/underlying``.
  public var progress: ((Progress) throws -> ControlFlow)?

  /// A companion; the default watches nothing.
  public init(
    cancellation: Cancellation? = nil, interval: Int = 0,
    progress: ((Progress) throws -> ControlFlow)? = nil
  ) {
    self.cancellation = cancellation
    self.interval = interval
    self.progress = progress
  }

  /// Makes a call with this companion; throws for what it answers.
  func call(
    committed: @autoclosure () -> Int? = nil,
    _ body: (UnsafePointer<nested_run>) -> nested_status
  ) throws(NestedError) {
    let failure = Failure()
    let status = unsafe status(failure, body)
    try check(status, committed: committed(), underlying: failure.error)
  }

  /// The same without the check, for calls with closures of their own.
  func status(
    _ failure: Failure, _ body: (UnsafePointer<nested_run>) -> nested_status
  ) -> nested_status {
    var record = unsafe nested_run.stamped()
    unsafe record.interval_ms = UInt32(clamping: interval)
    let watcher = progress.map { ProgressWatcher($0, failure) }
    if let watcher {
      unsafe record.progress = ProgressWatcher.receive
      unsafe record.user = Unmanaged.passUnretained(watcher).toOpaque()
    }
    return withExtendedLifetime(watcher) {
      guard let cancellation else { return unsafe body(&record) }
      return unsafe cancellation.handle.use { ticket in
        unsafe record.cancel = ticket
        return unsafe body(&record)
      }
    }
  }
}

/// The error that a closure threw, on its way through the library.
final class Failure {
  var error: (any Error)?

  /// What `body` says, as the library wants to hear it: 0 go on, 1 stop, -1 failed.
  func answer(_ body: () throws -> ControlFlow) -> Int32 {
    do {
      return try body() == .stop ? 1 : 0
    } catch {
      self.error = error
      return -1
    }
  }
}

private final class ProgressWatcher {
  let closure: (Progress) throws -> ControlFlow
  let failure: Failure

  init(_ closure: @escaping (Progress) throws -> ControlFlow, _ failure: Failure) {
    self.closure = closure
    self.failure = failure
  }

  static let receive: nested_progress_fn = { user, record in
    guard let user = unsafe user, let record = unsafe record?.pointee else { return 0 }
    let watcher = unsafe Unmanaged<ProgressWatcher>.fromOpaque(user).takeUnretainedValue()
    let progress = unsafe Progress(
      stage: String(cString: record.stage), done: Int(clamping: record.done),
      total: Int(clamping: record.total), elapsed: record.elapsed_s, loss: record.loss)
    return watcher.failure.answer { try watcher.closure(progress) }
  }
}
