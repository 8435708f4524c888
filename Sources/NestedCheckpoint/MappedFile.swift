package import NestedBase

/// The data of a safetensors file in memory, read only. It has to stay as it is for as long: where a file has become
/// shorter, the system ends the process with SIGBUS.
@safe package final class MappedFile: @unchecked Sendable {
  private let start: UnsafeRawPointer
  private let size: Int
  private let dataStart: Int

  /// All tensors' elements, one after another.
  package var floats: Floats {
    let data = unsafe UnsafeMutableRawPointer(mutating: start + dataStart)
    return unsafe Floats(data.assumingMemoryBound(to: Float.self))
  }

  fileprivate init(_ reader: FileReader, dataStart: Int) throws(NestedError) {
    unsafe start = try reader.mapped()
    (size, self.dataStart) = (reader.size, dataStart)
  }
  deinit { unsafe FileReader.unmap(start, size) }
}

extension SafetensorsFile {
  /// The tensors `records`, if they are all the file holds, are float32 and stand in this order. Else `unsupported`.
  package func mapped(_ records: [TensorRecord]) throws(NestedError) -> MappedFile {
    guard case .file(let reader) = source else {
      throw NestedError(.unsupported, "[safetensors] only files can be mapped")
    }
    var offset = 0
    for record in records {
      guard record.element == .f32 else {
        throw NestedError(
          .unsupported, "[safetensors] is \(record.element.rawValue); only float32 can be mapped", place: record.name)
      }
      guard record.offset == offset else {
        throw NestedError(
          .unsupported, "[safetensors] stands elsewhere than this library would put it, and cannot be mapped",
          place: record.name)
      }
      offset += record.byteCount
    }
    guard dataStart % 4 == 0 else {
      throw NestedError(.unsupported, "[safetensors] the data is not aligned, and cannot be mapped")
    }
    return try MappedFile(reader, dataStart: dataStart)
  }
}
