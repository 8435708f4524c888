import FoundationEssentials
import Glibc

/// What a file of the library says of itself, read without the library: a model, a trainer, a
/// session or a delta. The format is safetensors: a length, a JSON header, data.
struct SavedFile {
  let path: String
  let bytes: Int
  private let header: Document
  private let dataStart: Int

  init(_ path: String) throws(Failure) {
    self.path = path
    let foreign = Failure(.data, "\(path): not a file of libnested")
    let length = try Self.read(path, at: 0, count: 8)
    var information = stat()
    guard stat(path, &information) == 0 else { throw Failure(reading: path, errno: errno) }
    bytes = Int(information.st_size)
    let size = length.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    guard length.count == 8, size >= 2, size <= 1 << 25, Int(size) <= bytes - 8 else {
      throw foreign
    }
    dataStart = 8 + Int(size)
    let text = try Self.read(path, at: 8, count: Int(size))
    guard text.count == Int(size), text.first == UInt8(ascii: "{") else { throw foreign }
    header = try Document(text: text, of: path)
    guard content != nil else { throw foreign }
    let end =
      header.members.values.compactMap { $0["data_offsets"].elements.last?.integer }.max() ?? 0
    guard end == bytes - dataStart else {
      throw Failure(
        .data, "\(path): \(bytes) bytes are not what its header says; it is cut off or damaged")
    }
  }

  /// "model", "trainer", "session", or "delta": a session without its stream.
  var content: String? {
    let content = metadata("nested.content")
    return content == "session" && header["recurrent"] == .null ? "delta" : content
  }

  func metadata(_ key: String) -> String? { header["__metadata__"][key].string }

  /// The values of an I64 tensor, none if there is no such tensor.
  func integers(_ name: String) throws(Failure) -> [Int] {
    let offsets = header[name]["data_offsets"].elements.compactMap(\.integer)
    guard header[name]["dtype"].string == "I64", offsets.count == 2,
      (0...bytes).contains(offsets[0]),
      (offsets[0]...bytes).contains(offsets[1])
    else { return [] }
    let data = try Self.read(path, at: dataStart + offsets[0], count: offsets[1] - offsets[0])
    return stride(from: 0, to: data.count / 8 * 8, by: 8).map { at in
      Int(bitPattern: UInt(data[at..<at + 8].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }))
    }
  }

  private static func read(_ path: String, at offset: Int, count: Int) throws(Failure) -> [UInt8] {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw Failure(reading: path, errno: errno) }
    defer { close(descriptor) }
    var status = 0
    let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      status = pread(descriptor, buffer.baseAddress, count, offset)
      filled = max(0, status)
    }
    guard status >= 0 else { throw Failure(reading: path, errno: errno) }
    return bytes
  }
}
