internal import Glibc
internal import NestedBase

// The one file of this target that talks to the operating system.

/// The calls that writing a file needs. A result below zero is -errno. Tests hand in a set that
/// fails, is interrupted or stops at a chosen call.
package struct FileCalls: Sendable {
  /// Mode bits of what the path names (`st_mode`, links followed).
  package var mode: @Sendable (FilePath) -> Int
  /// Creates the file, which must not exist, and opens it for writing.
  package var create: @Sendable (FilePath, _ permissions: Int) -> Int32
  package var openFolder: @Sendable (FilePath) -> Int32
  /// Bytes written, at least 1.
  package var write: @Sendable (Int32, RawSpan) -> Int
  package var setPermissions: @Sendable (Int32, Int) -> Int32
  package var sync: @Sendable (Int32) -> Int32
  package var close: @Sendable (Int32) -> Int32
  package var rename: @Sendable (FilePath, FilePath) -> Int32
  package var unlink: @Sendable (FilePath) -> Int32
  /// A number that is unlikely to have been given out before, for the name of a temporary file.
  package var unique: @Sendable () -> UInt64

  package static let system = FileCalls(
    mode: { path in
      var status = stat()
      let result = unsafe path.call { unsafe stat($0, &status) }
      return result < 0 ? Int(result) : Int(status.st_mode)
    },
    create: { path, permissions in
      let flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW
      return unsafe path.call { unsafe open($0, flags, mode_t(permissions & 0o777)) }
    },
    openFolder: { path in
      unsafe path.call { unsafe open($0, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
    },
    write: { descriptor, bytes in
      unsafe bytes.withUnsafeBytes { unsafe writeQuietly(descriptor, $0) }
    },
    setPermissions: { fchmod($0, mode_t($1 & 0o777)) == 0 ? 0 : -errno },
    sync: { fsync($0) == 0 ? 0 : -errno },
    close: { Glibc.close($0) == 0 ? 0 : -errno },
    rename: { from, to in
      unsafe from.call { source in unsafe to.call { unsafe Glibc.rename(source, $0) } }
    },
    unlink: { path in unsafe path.call { unsafe Glibc.unlink($0) } },
    unique: {
      var now = timespec()
      unsafe clock_gettime(CLOCK_REALTIME, &now)
      let time = UInt64(truncatingIfNeeded: now.tv_sec) &* 1_000_000_000
      let moment = time &+ UInt64(truncatingIfNeeded: now.tv_nsec)
      return moment << 16 ^ UInt64(truncatingIfNeeded: getpid())
    })
}

extension FilePath {
  /// The result of a system call on the path, or -errno; a call inside that failed so already is
  /// left alone.
  func call(_ body: (UnsafePointer<CChar>) -> Int32) -> Int32 {
    let terminated = bytes.map { CChar(bitPattern: $0) } + [0]
    return unsafe terminated.withUnsafeBufferPointer { buffer in
      guard let start = buffer.baseAddress else { return -EINVAL }
      let result = unsafe body(start)
      return result == -1 ? -errno : result
    }
  }
}

/// `write`, without the SIGXFSZ that a file size limit would send: it ends the process, where EFBIG
/// alone is a status for the caller.
private func writeQuietly(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
  var limit = sigset_t()
  var before = sigset_t()
  unsafe sigemptyset(&limit)
  unsafe sigaddset(&limit, SIGXFSZ)
  unsafe pthread_sigmask(SIG_BLOCK, &limit, &before)
  let count = min(bytes.count, 1 << 30)
  let written = unsafe write(descriptor, bytes.baseAddress, count)
  let code = errno
  if written < 0, code == EFBIG, unsafe sigismember(&before, SIGXFSZ) == 0 {
    var noTime = timespec()
    unsafe sigtimedwait(&limit, nil, &noTime)
  }
  unsafe pthread_sigmask(SIG_SETMASK, &before, nil)
  return written >= 0 ? written : -Int(code)
}

/// errno values that are met with more than a report.
package enum SystemCode {
  package static let interrupted = Int(EINTR)
  package static let exists = Int(EEXIST)
  package static let invalid = Int(EINVAL)
  package static let accessDenied = Int(EACCES)
  package static let notFound = Int(ENOENT)
  package static let inputOutput = Int(EIO)
  package static let noSpace = Int(ENOSPC)
  package static let notSupported = Int(ENOTSUP)

  /// Whether mode bits are those of a regular file.
  static func isRegular(mode: Int) -> Bool { mode & Int(S_IFMT) == Int(S_IFREG) }
}

/// A file open for reading, closed with the object. Reads take a position, so threads may share it.
final class FileReader: Sendable {
  private let descriptor: Int32
  private let path: FilePath
  let size: Int

  /// Regular files only: a pipe or a device could make the call wait for ever.
  init(_ path: FilePath) throws(NestedError) {
    var opened: Int32 = -1
    repeat {
      opened = unsafe path.call { unsafe open($0, O_RDONLY | O_CLOEXEC | O_NONBLOCK) }
    } while opened == -EINTR
    guard opened >= 0 else {
      throw NestedError(.io, "[file] could not be opened", place: path.text, osError: -opened)
    }
    var status = stat()
    let code = unsafe fstat(opened, &status) == 0 ? 0 : errno
    guard code == 0, SystemCode.isRegular(mode: Int(status.st_mode)) else {
      _ = Glibc.close(opened)
      let isFolder = status.st_mode & S_IFMT == S_IFDIR
      throw NestedError(
        .io, "[file] expected a regular file", place: path.text,
        osError: code != 0 ? code : isFolder ? EISDIR : EINVAL)
    }
    descriptor = opened
    self.path = path
    size = Int(status.st_size)
  }

  deinit { _ = Glibc.close(descriptor) }

  /// The file as memory, which is read when it is touched.
  func mapped() throws(NestedError) -> UnsafeRawPointer {
    guard let start = unsafe mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor, 0), unsafe start != MAP_FAILED else {
      throw NestedError(.io, "[file] could not be mapped", place: path.text, osError: errno)
    }
    return UnsafeRawPointer(start)
  }

  static func unmap(_ start: UnsafeRawPointer, _ size: Int) {
    unsafe munmap(UnsafeMutableRawPointer(mutating: start), size)
  }

  /// Fills `bytes` with what stands at `offset`. A file that became shorter is `.corrupt`.
  func read(_ bytes: UnsafeMutableRawBufferPointer, at offset: Int) throws(NestedError) {
    var done = 0
    while done < bytes.count {
      let count = min(bytes.count - done, 1 << 30)
      let got = unsafe pread(
        descriptor, bytes.baseAddress?.advanced(by: done), count, off_t(offset + done))
      if got < 0 && errno == EINTR { continue }
      if got < 0 {
        throw NestedError(.io, "[file] could not be read", place: path.text, osError: errno)
      }
      if got == 0 {
        throw NestedError(
          .corrupt, "[file] ends too early", place: path.text, offset: offset + done)
      }
      done += got
    }
  }
}

/// Runs `body` with the decimal point of the C locale on this thread. The C library's number
/// parser, which Jansson calls, follows the host's locale; the host's is back when this returns.
func withNumericCLocale<R>(_ body: () throws(NestedError) -> R) throws(NestedError) -> R {
  guard let plain = unsafe newlocale(1 << LC_NUMERIC, "C", nil) else {
    throw NestedError(.noMemory, "[json] no memory for the text")
  }
  let host = unsafe uselocale(plain)
  defer {
    unsafe uselocale(host)
    unsafe freelocale(plain)
  }
  return try body()
}
