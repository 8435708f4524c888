internal import CNested

/// Where a context's log records go.
public struct Log: Sendable {
  /// How much is said.
  public enum Level: Sendable, CaseIterable, Comparable {
    /// Nothing.
    case off
    /// What went wrong.
    case error
    /// And what was left out: a step whose gradient was not finite.
    case warning
    /// And what was done.
    case info
    /// And how.
    case debug

    var constant: Int32 {
      let constant =
        switch self {
        case .off: NESTED_LOG_OFF
        case .error: NESTED_LOG_ERROR
        case .warning: NESTED_LOG_WARN
        case .info: NESTED_LOG_INFO
        case .debug: NESTED_LOG_DEBUG
        }
      return Int32(truncatingIfNeeded: constant)
    }
  }

  /// One line.
  public struct Record: Sendable {
    /// How grave it is.
    public let level: Level
    /// "load", "train", "session", ...
    public let component: String
    /// One complete line, without a newline.
    public let message: String
  }

  /// Records up to this level are written.
  public let level: Level
  /// Called on the thread that made the call, after the call has let go of its objects, so it may
  /// use them.
  public let write: @Sendable (Record) -> Void

  /// Sends records up to `level` to `write`.
  public init(_ level: Level = .warning, _ write: @escaping @Sendable (Record) -> Void) {
    self.level = level
    self.write = write
  }
}

/// What the library holds a pointer to while the context lives.
final class LogTarget: Sendable {
  let log: Log

  init(_ log: Log) { self.log = log }

  static let receive: nested_log_fn = { user, record in
    guard let user = unsafe user, let record = unsafe record else { return }
    let target = unsafe Unmanaged<LogTarget>.fromOpaque(user).takeUnretainedValue()
    let number = unsafe record.pointee.level
    target.log.write(
      Log.Record(
        level: Log.Level.allCases.first { $0.constant == number } ?? .info,
        component: unsafe String(cString: record.pointee.component),
        message: unsafe String(cString: record.pointee.message)))
  }
}
