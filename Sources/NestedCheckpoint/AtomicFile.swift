package import NestedBase

/// Files that are there whole or not at all.
package enum AtomicFile {
  /// Takes the next bytes of the file.
  package typealias Put = (RawSpan) throws(NestedError) -> Void

  /// Replaces the file at `target` by what `body` puts. The bytes go to a new file beside it
  /// (`.nested-<number>.tmp`), which takes the target's name when it is complete: a process that
  /// dies at any moment leaves the old file or the new one. `sync` asks the disk to keep it, before
  /// and after the renaming.
  ///
  /// The permissions of a file that is replaced are kept; a symbolic link is replaced by the file;
  /// a target that is neither is refused, so /dev/null stays a device. On failure the new file is
  /// removed and the target is as it was, but for a failure to sync the folder, when the new file
  /// stands already.
  package static func write(
    to target: FilePath, sync: Bool = true, calls: FileCalls = .system,
    _ body: (_ put: Put) throws(NestedError) -> Void
  ) throws(NestedError) {
    let mode = calls.mode(target)
    if mode >= 0, !SystemCode.isRegular(mode: mode) {
      throw failure("expected a regular file or a new name", target, -SystemCode.invalid)
    }
    let (temporary, descriptor) = try create(beside: target, calls)
    do throws(NestedError) {
      try fill(descriptor, target, mode: mode, sync: sync, calls, body)
      try check(calls.rename(temporary, target), "could not be renamed", target)
    } catch {
      _ = calls.unlink(temporary)
      throw error
    }
    if sync { try syncFolder(of: target, calls) }
  }

  /// A new file that nobody else has, in the target's folder.
  private static func create(
    beside target: FilePath, _ calls: FileCalls
  ) throws(NestedError) -> (FilePath, Int32) {
    let first = calls.unique()
    var attempt: UInt64 = 0
    while true {
      let path = target.sibling(".nested-\(first &+ attempt).tmp")
      let descriptor = calls.create(path, 0o666)
      if descriptor >= 0 { return (path, descriptor) }
      let code = Int(-descriptor)
      if code == SystemCode.interrupted { continue }
      attempt += 1
      if code != SystemCode.exists || attempt == 100 {
        throw failure("could not be created", target, -code)
      }
    }
  }

  /// Writes, syncs and closes; the descriptor is closed when this returns or throws.
  private static func fill(
    _ descriptor: Int32, _ target: FilePath, mode: Int, sync: Bool, _ calls: FileCalls,
    _ body: (_ put: Put) throws(NestedError) -> Void
  ) throws(NestedError) {
    do throws(NestedError) {
      if mode >= 0 {
        try check(calls.setPermissions(descriptor, mode & 0o777), "refused its permissions", target)
      }
      try body { bytes throws(NestedError) in
        var done = 0
        while done < bytes.byteCount {
          let written = calls.write(descriptor, bytes.extracting(done..<bytes.byteCount))
          if written == -SystemCode.interrupted { continue }
          // A disk that takes nothing and gives no reason would keep the loop going for ever.
          guard written > 0, written <= bytes.byteCount - done else {
            throw failure(
              "could not be written", target, written < 0 ? written : -SystemCode.inputOutput)
          }
          done += written
        }
      }
      if sync { try check(retrying { calls.sync(descriptor) }, "could not be synced", target) }
    } catch {
      _ = calls.close(descriptor)
      throw error
    }
    // Linux has closed the descriptor whatever close says; EINTR is no loss, an error of the disk
    // is.
    let closed = calls.close(descriptor)
    if Int(closed) != -SystemCode.interrupted { try check(closed, "could not be closed", target) }
  }

  /// The renaming itself reaches the disk with the folder. File systems that cannot sync a folder,
  /// and folders that cannot be read, are no error.
  private static func syncFolder(of target: FilePath, _ calls: FileCalls) throws(NestedError) {
    let folder = retrying { calls.openFolder(target.folder) }
    if folder < 0 {
      if Int(folder) == -SystemCode.accessDenied { return }
      throw failure(
        "is written, but its folder could not be opened to sync it", target, Int(folder))
    }
    let result = Int(retrying { calls.sync(folder) })
    _ = calls.close(folder)
    if result < 0, result != -SystemCode.invalid, result != -SystemCode.notSupported {
      throw failure("is written, but its folder could not be synced", target, result)
    }
  }

  private static func retrying(_ call: () -> Int32) -> Int32 {
    while true {
      let result = call()
      if Int(result) != -SystemCode.interrupted { return result }
    }
  }

  private static func check(_ result: Int32, _ what: String, _ path: FilePath) throws(NestedError) {
    if result < 0 { throw failure(what, path, Int(result)) }
  }

  private static func failure(_ what: String, _ path: FilePath, _ result: Int) -> NestedError {
    NestedError(
      .io, "[file] \(what)", place: path.text, osError: Int32(truncatingIfNeeded: -result))
  }
}
