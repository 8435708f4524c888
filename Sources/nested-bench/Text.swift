import Glibc

/// Bytes of a real text as tokens: the licences that every Debian machine has, noise where there are
/// none.
final class Text {
  private let tokens: UnsafeMutablePointer<Int32>
  private let count: Int
  private var next = 0

  init() {
    var bytes: [UInt8] = []
    for name in ["GPL-3", "LGPL-2.1", "Apache-2.0", "MPL-2.0", "Artistic"] {
      guard let file = fopen("/usr/share/common-licenses/\(name)", "r") else { continue }
      var buffer = [UInt8](repeating: 0, count: 1 << 16)
      while true {
        let read = fread(&buffer, 1, buffer.count, file)
        if read == 0 { break }
        bytes += buffer[..<read]
      }
      fclose(file)
    }
    if bytes.count < 1 << 16 {
      var state: UInt32 = 1
      bytes = (0..<1 << 17).map { _ in
        state = state &* 1_664_525 &+ 1_013_904_223
        return UInt8(state >> 24)
      }
    }
    count = bytes.count
    tokens = .allocate(capacity: count)
    for (i, byte) in bytes.enumerated() { tokens[i] = Int32(byte) }
  }
  deinit { tokens.deallocate() }

  /// The next `n` tokens; starts again at the end of the text.
  func take(_ n: Int) -> UnsafePointer<Int32> {
    if next + n > count { next = 0 }
    defer { next += n }
    return UnsafePointer(tokens + next)
  }
}
