package import NestedBase

/// What a file of this library says about itself in `__metadata__`, so that a session is not taken
/// for a model and a file of the future is refused by name.
package struct FileIdentity: Equatable, Sendable {
  /// "model", "session", "trainer", ...
  package let content: String
  /// Grows by one when readers of the version before could not read the file.
  package let version: Int

  package init(_ content: String, version: Int) {
    self.content = content
    self.version = version
  }

  package static let contentKey = "nested.content"
  package static let versionKey = "nested.version"
  package static let checksumKey = "nested.checksum"

  var metadata: [(key: String, value: String)] {
    [(FileIdentity.contentKey, content), (FileIdentity.versionKey, version.description)]
  }
}

extension SafetensorsFile {
  /// Throws `.corrupt` for a file that is not one of the library's or holds something else, and
  /// `.version` for a newer one. Returns the file's version.
  @discardableResult
  package func identify(as expected: FileIdentity) throws(NestedError) -> Int {
    guard let content = metadata(FileIdentity.contentKey) else {
      throw NestedError(
        .corrupt, "[file] not written by libnested", place: FileIdentity.contentKey, offset: 8)
    }
    guard content.isSameBytes(as: expected.content) else {
      throw NestedError(
        .corrupt, "[file] expected a \(expected.content)", place: FileIdentity.contentKey, offset: 8
      )
    }
    guard let text = metadata(FileIdentity.versionKey), let version = JSONPointer.index(text),
      version >= 1
    else {
      throw NestedError(
        .corrupt, "[file] its version is no number", place: FileIdentity.versionKey, offset: 8)
    }
    guard version <= expected.version else {
      throw NestedError(
        .version, "[file] version \(version) is newer than this library's \(expected.version)",
        place: FileIdentity.versionKey)
    }
    return version
  }

  /// Reads all tensor data once and compares it with the file's checksum. A file without one
  /// passes. `order` is that in which this library wrote the tensors, where another program may
  /// have copied them into another.
  package func verifyChecksum(order: [TensorRecord]? = nil) throws(NestedError) {
    guard let expected = metadata(FileIdentity.checksumKey) else { return }
    var hash = XXH64()
    for record in order ?? records {
      let end = dataStart + record.offset + record.byteCount
      var position = dataStart + record.offset
      while position < end {
        let count = min(1 << 20, end - position)
        let piece = try source.bytes(at: position, count: count)
        unsafe hash.update(piece.span.bytes)
        position += count
      }
    }
    guard hash.text.isSameBytes(as: expected) else {
      throw NestedError(
        .corrupt, "[file] its data does not fit its checksum", place: FileIdentity.checksumKey,
        offset: dataStart)
    }
  }
}
