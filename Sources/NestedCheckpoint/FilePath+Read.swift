package import NestedBase

extension FilePath {
  /// A file of that name in this folder.
  package func child(_ name: String) -> FilePath {
    let slash = UInt8(ascii: "/")
    return FilePath(joined: bytes + (bytes.last == slash ? [] : [slash]) + Array(name.utf8))
  }

  /// All bytes of the file. `.io` when it cannot be read, `.corrupt` when it is longer than `limit`.
  package func contents(atMost limit: Int) throws(NestedError) -> [UInt8] {
    let reader = try FileReader(self)
    guard reader.size <= limit else {
      throw NestedError(.corrupt, "[file] expected at most \(limit) bytes, got \(reader.size)", place: text)
    }
    return try ByteSource.file(reader).bytes(at: 0, count: reader.size)
  }
}
