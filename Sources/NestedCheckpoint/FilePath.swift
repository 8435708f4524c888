package import NestedBase

/// A path as the caller gave it: bytes, not text. A file name on Linux need not be UTF-8, and a
/// repaired name would be another file.
package struct FilePath: Equatable, Sendable {
  package let bytes: [UInt8]  // without the final NUL

  /// Throws `.argument` for an empty path and for one with a NUL inside.
  package init(bytes: [UInt8]) throws(NestedError) {
    guard !bytes.isEmpty, !bytes.contains(0) else {
      throw NestedError(.argument, "[file] expected a path that is not empty", place: "path")
    }
    self.bytes = bytes
  }

  package init(_ path: String) throws(NestedError) { try self.init(bytes: Array(path.utf8)) }

  init(joined: [UInt8]) { bytes = joined }

  /// For messages: what is no UTF-8 is replaced.
  package var text: String { String(decoding: bytes, as: UTF8.self) }

  /// The folder that holds the file: everything up to the last slash.
  var folder: FilePath {
    guard let slash = bytes.lastIndex(of: UInt8(ascii: "/")) else {
      return FilePath(joined: [UInt8(ascii: ".")])
    }
    return FilePath(joined: slash == 0 ? [UInt8(ascii: "/")] : Array(bytes[..<slash]))
  }

  /// A file of that name in the same folder.
  func sibling(_ name: String) -> FilePath {
    guard let slash = bytes.lastIndex(of: UInt8(ascii: "/")) else {
      return FilePath(joined: Array(name.utf8))
    }
    return FilePath(joined: Array(bytes[...slash]) + Array(name.utf8))
  }
}
