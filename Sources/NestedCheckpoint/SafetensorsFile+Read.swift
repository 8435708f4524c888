package import NestedBase

extension SafetensorsFile {
  /// Copies a tensor's elements to `target`, which has room for `record.count` floats. F64, F16 and
  /// BF16 become float32 (F64 rounds to the nearest); any other type is `.dtype`.
  package func readFloats(_ record: TensorRecord, into target: Floats) throws(NestedError) {
    if record.element == .f32 {
      let bytes = unsafe UnsafeMutableRawBufferPointer(
        start: target.pointer, count: record.byteCount)
      return try unsafe source.read(bytes, at: dataStart + record.offset)
    }
    guard [.f64, .f16, .bf16].contains(record.element) else {
      throw NestedError(
        .dtype, "[safetensors] expected a float tensor, got \(record.element.rawValue)",
        place: record.name)
    }
    let size = record.element.size
    let piece = 8192  // elements
    var done = 0
    while done < record.count {
      let count = min(piece, record.count - done)
      let bytes = try source.bytes(
        at: dataStart + record.offset + done * size, count: count * size)
      let span = unsafe bytes.span.bytes
      for i in 0..<count {
        target[done + i] =
          switch record.element {
          case .f64: Float(unsafe span.unsafeLoadUnaligned(fromByteOffset: 8 * i, as: Double.self))
          case .f16:
            TensorElement.float(
              half: unsafe span.unsafeLoadUnaligned(fromByteOffset: 2 * i, as: UInt16.self))
          default:
            TensorElement.float(
              brain: unsafe span.unsafeLoadUnaligned(fromByteOffset: 2 * i, as: UInt16.self))
          }
      }
      done += count
    }
  }

  /// A tensor of floats by name, `atMost` elements long: a file decides no allocation.
  package func floats(_ name: String, atMost limit: Int) throws(NestedError) -> [Float] {
    let record = try bounded(name, nil, limit)
    var values = [Float](repeating: 0, count: record.count)
    try unsafe values.withUnsafeMutableBufferPointer { buffer throws(NestedError) in
      guard let start = buffer.baseAddress else { return }
      try unsafe readFloats(record, into: Floats(start))
    }
    return values
  }

  package func doubles(_ name: String, atMost limit: Int) throws(NestedError) -> [Double] {
    try array(bounded(name, .f64, limit), 0)
  }
  package func int64s(_ name: String, atMost limit: Int) throws(NestedError) -> [Int64] {
    try array(bounded(name, .i64, limit), 0)
  }
  package func int32s(_ name: String, atMost limit: Int) throws(NestedError) -> [Int32] {
    try array(bounded(name, .i32, limit), 0)
  }
  package func uint8s(_ name: String, atMost limit: Int) throws(NestedError) -> [UInt8] {
    try array(bounded(name, .u8, limit), 0)
  }

  private func bounded(
    _ name: String, _ element: TensorElement?, _ limit: Int
  ) throws(NestedError) -> TensorRecord {
    guard let record = record(named: name) else {
      throw NestedError(.corrupt, "[safetensors] the file lacks a tensor", place: name)
    }
    if let element, record.element != element {
      throw NestedError(
        .dtype, "[safetensors] expected \(element.rawValue), got \(record.element.rawValue)",
        place: name)
    }
    guard record.count <= limit else {
      throw NestedError(
        .corrupt, "[safetensors] expected at most \(limit) elements, got \(record.count)",
        place: name, offset: dataStart + record.offset)
    }
    return record
  }

  private func array<T: BitwiseCopyable>(_ record: TensorRecord, _ zero: T) throws(NestedError)
    -> [T]
  {
    var values = [T](repeating: zero, count: record.count)
    try unsafe values.withUnsafeMutableBufferPointer { buffer throws(NestedError) in
      try unsafe source.read(
        UnsafeMutableRawBufferPointer(buffer), at: dataStart + record.offset)
    }
    return values
  }
}
