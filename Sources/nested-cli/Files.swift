import Glibc
import Nested

/// The bytes of files one after the other; `-` is standard input.
struct Input {
  private var paths: [String]  // still to be opened
  private var current: (path: String, descriptor: Int32)?

  init(_ paths: [String]) { self.paths = paths }

  /// Some bytes, as soon as there are any; none at the end, and when a signal asks for the end.
  mutating func read(upTo limit: Int = 1 << 16) throws(Failure) -> [UInt8] {
    while Interrupt.signal == nil {
      guard let (path, descriptor) = current else {
        guard !paths.isEmpty else { return [] }
        try open(paths.removeFirst())
        continue
      }
      Interrupt.wait(for: descriptor)
      if Interrupt.signal != nil { break }
      var status = 0
      let bytes = [UInt8](unsafeUninitializedCapacity: limit) { buffer, count in
        status = Glibc.read(descriptor, buffer.baseAddress, limit)
        count = max(0, status)
      }
      if status > 0 { return bytes }
      if status < 0 {
        guard errno == EINTR else { throw Failure(reading: path, errno: errno) }
      } else {
        if descriptor != STDIN_FILENO { close(descriptor) }
        current = nil
      }
    }
    return []
  }

  private mutating func open(_ path: String) throws(Failure) {
    let descriptor = path == "-" ? STDIN_FILENO : Glibc.open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw Failure(reading: path, errno: errno) }
    current = (path == "-" ? "standard input" : path, descriptor)
  }

  /// Drops bytes that were read before.
  mutating func skip(_ count: Int) throws(Failure) {
    var rest = count
    while rest > 0, case let bytes = try read(upTo: min(rest, 1 << 20)), !bytes.isEmpty {
      rest -= bytes.count
    }
  }

  /// Everything.
  static func all(of paths: [String]) throws -> [UInt8] {
    var input = Input(paths)
    var all: [UInt8] = []
    while case let piece = try input.read(upTo: 1 << 20), !piece.isEmpty { all += piece }
    try Interrupt.check()
    return all
  }
}

func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

/// Before the work: whether its result may be written to `path`. What is there stays unless `force`.
func checkOutput(_ path: String, force: Bool, advice: String = "--force overwrites it")
  throws(Failure)
{
  if !force && exists(path) { throw Failure(.cannotCreate, "\(path) exists; \(advice)") }
  let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
  if access(folder, W_OK | X_OK) != 0 { throw Failure(writing: folder, errno: errno) }
}
