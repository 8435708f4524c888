package import NestedBase

/// One tensor of a file.
package struct TensorRecord: Equatable, Sendable {
  package let name: String
  package let element: TensorElement
  package let shape: [Int]
  package let offset: Int  // first byte, counted from the start of the tensor data
  package let byteCount: Int
  package let count: Int  // elements
}

/// A safetensors file, read strictly: its header has been proved before a tensor is looked at (see
/// README for the list). Every violation is `.corrupt` with the byte offset and, where there is
/// one, the tensor's name. A file on disk stays open and is read tensor by tensor, so loading a
/// model needs no second copy of it.
package struct SafetensorsFile: Sendable {
  /// Longest header that is accepted: room for a quarter of a million tensors.
  package static let maximumHeader = 32 << 20
  /// Most dimensions a tensor may have.
  package static let maximumDimensions = 32

  /// The file's own key-value pairs, in the order of the file.
  package let metadata: [(key: String, value: String)]
  /// The tensors in the order of their data.
  package let records: [TensorRecord]

  let source: ByteSource
  let dataStart: Int
  private let byName: [Int]  // indices of records, by the bytes of the names

  package init(bytes: [UInt8]) throws(NestedError) { try self.init(.bytes(bytes)) }
  package init(path: FilePath) throws(NestedError) { try self.init(.file(FileReader(path))) }
  package init(path: String) throws(NestedError) { try self.init(path: FilePath(path)) }

  private init(_ source: ByteSource) throws(NestedError) {
    let header = try SafetensorsHeader(source)
    let records = header.records
    self.source = source
    self.records = records
    metadata = header.metadata
    dataStart = header.dataStart
    byName = records.indices.sorted { records[$0].name.precedesInBytes(records[$1].name) }
  }

  package func metadata(_ key: String) -> String? {
    for entry in metadata where entry.key.isSameBytes(as: key) { return entry.value }
    return nil
  }

  package func record(named name: String) -> TensorRecord? {
    var low = 0
    var high = byName.count
    while low < high {
      let middle = (low + high) / 2
      if records[byName[middle]].name.precedesInBytes(name) {
        low = middle + 1
      } else {
        high = middle
      }
    }
    guard low < byName.count else { return nil }
    let record = records[byName[low]]
    return record.name.isSameBytes(as: name) ? record : nil
  }

  /// The tensor of that name and shape; `.corrupt` when the file has none, `.shape` when it
  /// differs.
  package func record(named name: String, shape: [Int]) throws(NestedError) -> TensorRecord {
    guard let record = record(named: name) else {
      throw NestedError(.corrupt, "[safetensors] the file lacks a tensor", place: name)
    }
    guard record.shape == shape else {
      throw NestedError(
        .shape, "[safetensors] expected shape \(shape), got \(record.shape)", place: name)
    }
    return record
  }
}

/// Where the bytes of a file are.
enum ByteSource: Sendable {
  case bytes([UInt8])
  case file(FileReader)

  var size: Int {
    switch self {
    case .bytes(let bytes): bytes.count
    case .file(let reader): reader.size
    }
  }

  /// `offset + target.count` is at most `size`.
  func read(_ target: UnsafeMutableRawBufferPointer, at offset: Int) throws(NestedError) {
    switch self {
    case .bytes(let bytes):
      unsafe bytes.withUnsafeBytes { all in
        unsafe target.copyMemory(
          from: UnsafeRawBufferPointer(rebasing: all[offset..<offset + target.count]))
      }
    case .file(let reader): try unsafe reader.read(target, at: offset)
    }
  }

  /// A copy of `count` bytes.
  func bytes(at offset: Int, count: Int) throws(NestedError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    try unsafe bytes.withUnsafeMutableBufferPointer { buffer throws(NestedError) in
      try unsafe read(UnsafeMutableRawBufferPointer(buffer), at: offset)
    }
    return bytes
  }
}
