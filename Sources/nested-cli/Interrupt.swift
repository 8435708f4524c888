import Glibc
import Synchronization

/// Ctrl-C and its like, as a wish: loops look at it between two pieces of work, save and end. The
/// second one has the system's own effect and ends the program at once.
enum Interrupt {
  private static let pending = Atomic<Int32>(0)

  /// The signal that asks for the end.
  static var signal: Int32? {
    let signal = pending.load(ordering: .relaxed)
    return signal == 0 ? nil : signal
  }

  static func ask(_ signal: Int32) {
    let before = errno  // of what the handler interrupts
    pending.store(signal, ordering: .relaxed)
    var byte: UInt8 = 0
    _ = write(wake.write, &byte, 1)
    errno = before
  }

  /// A pipe that becomes readable with the wish, so that no wait for input can miss it.
  nonisolated(unsafe) private static var wake: (read: Int32, write: Int32) = (-1, -1)

  /// Returns when there is something to read, its end, or a wish to end.
  static func wait(for descriptor: Int32) {
    var both = [descriptor, wake.read].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    poll(&both, 2, -1)
  }

  /// From here on SIGINT, SIGTERM and SIGHUP only ask, unless whoever started the program had them
  /// ignored.
  static func watch() {
    var ends: [Int32] = [-1, -1]
    if pipe(&ends) == 0 { wake = (ends[0], ends[1]) }
    pending.store(0, ordering: .relaxed)  // it exists before a handler needs it
    for signal in [SIGINT, SIGTERM, SIGHUP] {
      var old = sigaction()
      sigaction(signal, nil, &old)
      guard unsafeBitCast(old.__sigaction_handler.sa_handler, to: Int.self) != 1 else { continue }
      var new = sigaction()
      new.__sigaction_handler.sa_handler = { Interrupt.ask($0) }
      new.sa_flags = Int32(bitPattern: UInt32(SA_RESETHAND))
      sigaction(signal, &new, nil)
    }
  }

  /// For loops that have nothing to save.
  static func check() throws(Stopped) {
    if let signal { throw Stopped(signal: signal) }
  }
}
