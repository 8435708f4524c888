internal import NestedBase

/// The proven header of a file: 8 bytes of length (little-endian), that many bytes of JSON, tensor
/// data.
struct SafetensorsHeader {
  let metadata: [(key: String, value: String)]
  let records: [TensorRecord]
  let dataStart: Int

  private static let metadataKey = "__metadata__"

  init(_ source: ByteSource) throws(NestedError) {
    let size = source.size
    guard size >= 8 else { throw Self.corrupt("shorter than its 8-byte length", at: size) }
    let length = try source.bytes(at: 0, count: 8).reversed().reduce(UInt64(0)) {
      $0 << 8 | UInt64($1)
    }
    guard length <= UInt64(SafetensorsFile.maximumHeader) else {
      throw Self.corrupt("the header claims to be longer than 32 MiB", at: 0)
    }
    let dataStart = 8 + Int(length)
    guard dataStart <= size else { throw Self.corrupt("ends inside its header", at: size) }
    let text = try source.bytes(at: 8, count: Int(length))
    guard text.first == UInt8(ascii: "{") else {
      throw Self.corrupt("the header does not start with {", at: 8)
    }
    let header: JSONValue
    do throws(NestedError) {
      header = try JSONValue.parse(text, maximumLength: SafetensorsFile.maximumHeader)
    } catch {
      if error.code != .parse { throw error }
      throw Self.corrupt("the header is damaged: \(error.message)", at: 8 + max(0, error.offset))
    }
    guard case .object(let members) = header else {
      throw Self.corrupt("the header is no object", at: 8)
    }
    var metadata: [(key: String, value: String)] = []
    var records: [TensorRecord] = []
    records.reserveCapacity(members.count)
    for member in members {
      if member.key.isSameBytes(as: Self.metadataKey) {
        metadata = try Self.metadata(member.value)
      } else {
        records.append(try Self.record(member.key, member.value))
      }
    }
    self.dataStart = dataStart
    self.metadata = metadata
    self.records = try Self.tiling(records, dataStart: dataStart, size: size)
  }

  private static func metadata(_ value: JSONValue) throws(NestedError) -> [(
    key: String, value: String
  )] {
    guard case .object(let members) = value else {
      throw corrupt("__metadata__ is no object", at: 8, metadataKey)
    }
    var metadata: [(key: String, value: String)] = []
    for member in members {
      guard case .string(let text) = member.value else {
        throw corrupt("a value of __metadata__ is no string", at: 8, metadataKey)
      }
      metadata.append((member.key, text))
    }
    return metadata
  }

  /// One entry: `{"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}` and no other key.
  private static func record(_ name: String, _ value: JSONValue) throws(NestedError) -> TensorRecord
  {
    guard case .object(let members) = value, members.count == 3 else {
      throw corrupt("a tensor's entry is not dtype, shape and data_offsets", at: 8, name)
    }
    guard case .string(let type) = value["dtype"], let element = TensorElement(rawValue: type)
    else {
      throw corrupt("a tensor's dtype is unknown", at: 8, name)
    }
    guard case .array(let sizes) = value["shape"], sizes.count <= SafetensorsFile.maximumDimensions
    else { throw corrupt("a tensor's shape is no list of at most 32 sizes", at: 8, name) }
    var shape: [Int] = []
    var count = 1
    for size in sizes {
      guard case .int(let size) = size, size >= 0 else {
        throw corrupt("a tensor's shape has a size that is no natural number", at: 8, name)
      }
      let (product, overflow) = count.multipliedReportingOverflow(by: size)
      if overflow { throw corrupt("a tensor's shape is too large", at: 8, name) }
      count = product
      shape.append(size)
    }
    let (byteCount, overflow) = count.multipliedReportingOverflow(by: element.size)
    if overflow { throw corrupt("a tensor's shape is too large", at: 8, name) }
    guard case .array(let offsets) = value["data_offsets"], offsets.count == 2,
      case .int(let begin) = offsets[0], case .int(let end) = offsets[1], 0 <= begin, begin <= end
    else { throw corrupt("a tensor's data_offsets are no range", at: 8, name) }
    guard end - begin == byteCount else {
      throw corrupt("a tensor's data_offsets do not fit its shape", at: 8, name)
    }
    return TensorRecord(
      name: name, element: element, shape: shape, offset: begin, byteCount: byteCount, count: count)
  }

  /// The records in the order of their data, which they cover from the first byte to the last: no
  /// overlap, no hole, nothing after it.
  private static func tiling(
    _ records: [TensorRecord], dataStart: Int, size: Int
  ) throws(NestedError) -> [TensorRecord] {
    let ordered = records.sorted { a, b in
      if a.offset != b.offset { return a.offset < b.offset }
      if a.byteCount != b.byteCount { return a.byteCount < b.byteCount }
      return a.name.precedesInBytes(b.name)
    }
    var covered = 0
    for record in ordered {
      if record.offset < covered {
        throw corrupt("two tensors overlap", at: dataStart + record.offset, record.name)
      }
      if record.offset > covered {
        throw corrupt("a hole before a tensor", at: dataStart + covered, record.name)
      }
      guard record.byteCount <= size - dataStart - covered else {
        throw corrupt("ends inside a tensor", at: size, record.name)
      }
      covered += record.byteCount
    }
    guard covered == size - dataStart else {
      throw corrupt("bytes after the last tensor", at: dataStart + covered)
    }
    return ordered
  }

  private static func corrupt(_ what: String, at offset: Int, _ name: String = "") -> NestedError {
    NestedError(.corrupt, "[safetensors] \(what)", place: name, offset: offset)
  }
}
