import ArgumentParser
import Glibc
import Nested

/// The options of every command that says something while it works, and how it is said.
///
/// Results go to standard output: sentences, or with --json one JSON document a line. What only
/// matters to somebody who watches, the progress line, goes to standard error, and only to a terminal.
struct Console: ParsableArguments {
  @Flag(name: .long, help: "Write JSON, one document a line, for programs.")
  var json = false

  @Flag(name: .shortAndLong, help: "No progress and no summary; errors only.")
  var quiet = false

  /// Something on the way: left out when --quiet.
  func note(_ record: @autoclosure () -> JSON, _ text: @autoclosure () -> String) throws {
    if !quiet { try result(record(), text()) }
  }

  /// What the command was asked for.
  func result(_ record: @autoclosure () -> JSON, _ text: @autoclosure () -> String) throws {
    Self.clearProgress()
    try Standard.write(Array(((json ? record().description : text()) + "\n").utf8))
  }

  /// Redraws the line of progress, ten times a second at most.
  func progress(_ text: @autoclosure () -> String) {
    guard !quiet, Self.isTerminal else { return }
    let now = seconds()
    guard now - Self.drawn.time >= 0.1 else { return }
    Self.drawn = (now, true)
    Standard.error("\r" + text().prefix(Self.width - 1) + "\u{1B}[K")
  }

  static func clearProgress() {
    guard drawn.visible else { return }
    drawn = (0, false)
    Standard.error("\r\u{1B}[K")
  }

  /// What to do next, for people.
  func hint(_ text: String) {
    Self.clearProgress()
    if !quiet { Standard.error("nested-cli: \(text)\n") }
  }

  nonisolated(unsafe) private static var drawn = (time: 0.0, visible: false)

  private static let isTerminal =
    isatty(STDERR_FILENO) == 1 && getenv("TERM").map { String(cString: $0) } != "dumb"

  private static var width: Int {
    var size = winsize()
    return ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0
      ? Int(size.ws_col) : 80
  }
}

/// The standard streams, unbuffered.
enum Standard {
  static let isTerminal = isatty(STDOUT_FILENO) == 1

  /// All bytes to standard output. When nobody reads any more, that is a wish to end like Ctrl-C.
  static func write(_ bytes: [UInt8]) throws {
    var sent = 0
    while sent < bytes.count && Interrupt.signal != SIGPIPE {
      let count = bytes.withUnsafeBytes {
        Glibc.write(STDOUT_FILENO, $0.baseAddress.map { $0 + sent }, bytes.count - sent)
      }
      if count >= 0 {
        sent += count
      } else if errno == EPIPE {
        Interrupt.ask(SIGPIPE)
      } else if errno != EINTR {
        throw Failure(writing: "standard output", errno: errno)
      }
    }
  }

  static func error(_ text: String) {
    let bytes = Array(text.utf8)
    _ = Glibc.write(STDERR_FILENO, bytes, bytes.count)
  }
}

/// A clock that only goes forward.
func seconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}

extension CompletionKind {
  static var safetensors: CompletionKind { .file(extensions: ["safetensors"]) }
}
