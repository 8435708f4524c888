package import NestedBase

/// Collects named tensors and writes them as one safetensors file. Floats are borrowed: their
/// memory must stay and not change until the file is written. The bytes depend on what was added
/// and on nothing else.
package struct SafetensorsWriter: Sendable {
  private enum Payload: Sendable {
    case floats(Floats, Int)
    case doubles([Double])
    case int64s([Int64])
    case int32s([Int32])
    case uint8s([UInt8])
  }

  private struct Item: Sendable {
    var name: String
    var element: TensorElement
    var shape: [Int]
    var byteCount: Int
    var payload: Payload
  }

  /// Whether tensors of one element size are laid out by name; else in the order in which they were
  /// added.
  package let sorted: Bool
  private var metadata: [(key: String, value: String)]
  private var items: [Item] = []
  private var names: Set<[UInt8]> = []  // asked, never walked

  package init(
    _ identity: FileIdentity, metadata: [(key: String, value: String)] = [], sorted: Bool = false
  ) {
    self.metadata = identity.metadata + metadata
    self.sorted = sorted
  }

  /// F32. `count` is the product of `shape`.
  package mutating func add(
    _ name: String, shape: [Int], _ values: Floats, count: Int
  ) throws(NestedError) {
    try add(name, .f32, shape, count, .floats(values, count))
  }
  /// F64
  package mutating func add(_ name: String, shape: [Int], _ values: [Double]) throws(NestedError) {
    try add(name, .f64, shape, values.count, .doubles(values))
  }
  /// I64
  package mutating func add(_ name: String, shape: [Int], _ values: [Int64]) throws(NestedError) {
    try add(name, .i64, shape, values.count, .int64s(values))
  }
  /// I32
  package mutating func add(_ name: String, shape: [Int], _ values: [Int32]) throws(NestedError) {
    try add(name, .i32, shape, values.count, .int32s(values))
  }
  /// U8
  package mutating func add(_ name: String, shape: [Int], _ values: [UInt8]) throws(NestedError) {
    try add(name, .u8, shape, values.count, .uint8s(values))
  }

  private mutating func add(
    _ name: String, _ element: TensorElement, _ shape: [Int], _ count: Int, _ payload: Payload
  ) throws(NestedError) {
    guard shape.count <= SafetensorsFile.maximumDimensions, Self.product(shape) == count else {
      throw NestedError(
        .shape, "[safetensors] expected \(count) elements, got shape \(shape)", place: name)
    }
    guard !name.isSameBytes(as: "__metadata__"), names.insert(Array(name.utf8)).inserted else {
      throw NestedError(.exists, "[safetensors] the name is taken", place: name)
    }
    items.append(
      Item(
        name: name, element: element, shape: shape, byteCount: count * element.size,
        payload: payload))
  }

  private static func product(_ shape: [Int]) -> Int? {
    var product = 1
    for size in shape {
      let (next, overflow) = product.multipliedReportingOverflow(by: size)
      if overflow || size < 0 { return nil }
      product = next
    }
    return product
  }

  /// Hands the whole file to `put`, piece by piece.
  package func emit(_ put: AtomicFile.Put) throws(NestedError) {
    let ordered = ordered()
    try emit(header(of: ordered), ordered, put)
  }

  private func emit(
    _ header: [UInt8], _ ordered: [Item], _ put: AtomicFile.Put
  ) throws(NestedError) {
    try unsafe put(header.span.bytes)
    for item in ordered { try Self.put(item, put) }
  }

  /// Replaces the file at `path`, whole or not at all. `progress` hears after each tensor how many of
  /// all bytes are written; when it throws, the old file stays.
  package func write(
    to path: FilePath, sync: Bool = true, calls: FileCalls = .system,
    progress: (_ done: Int, _ total: Int) throws(NestedError) -> Void = { _, _ in }
  ) throws(NestedError) {
    let ordered = ordered()
    let header = header(of: ordered)
    let total = ordered.reduce(header.count) { $0 + $1.byteCount }
    try AtomicFile.write(to: path, sync: sync, calls: calls) { put throws(NestedError) in
      var done = 0
      try emit(header, ordered) { bytes throws(NestedError) in
        try put(bytes)
        done += bytes.byteCount
        if bytes.byteCount > 0 { try progress(done, total) }
      }
    }
  }

  package func bytes() throws(NestedError) -> [UInt8] {
    var all: [UInt8] = []
    all.reserveCapacity(byteCount)
    try emit { bytes throws(NestedError) in
      unsafe bytes.withUnsafeBytes { unsafe all.append(contentsOf: $0) }
    }
    return all
  }

  /// Bytes of the file.
  package var byteCount: Int {
    let ordered = ordered()
    return ordered.reduce(header(of: ordered).count) { $0 + $1.byteCount }
  }

  /// Wide elements first, so that every tensor is aligned to its element size.
  private func ordered() -> [Item] {
    items.enumerated().sorted { a, b in
      let (x, y) = (a.element, b.element)
      if x.element.size != y.element.size { return x.element.size > y.element.size }
      return sorted ? x.name.precedesInBytes(y.name) : a.offset < b.offset
    }.map { $0.element }
  }

  /// Length and JSON; spaces at the end bring the data to a multiple of 8.
  private func header(of ordered: [Item]) -> [UInt8] {
    var hash = XXH64()
    for item in ordered { Self.put(item) { hash.update($0) } }
    var entries = metadata.map { JSONMember($0.key, .string($0.value)) }
    entries.append(JSONMember(FileIdentity.checksumKey, .string(hash.text)))
    entries.sort { $0.key.precedesInBytes($1.key) }
    var members = [JSONMember("__metadata__", .object(entries))]
    var offset = 0
    for item in ordered {
      members.append(
        JSONMember(
          item.name,
          .object([
            JSONMember("dtype", .string(item.element.rawValue)),
            JSONMember("shape", .array(item.shape.map { .int($0) })),
            JSONMember("data_offsets", .array([.int(offset), .int(offset + item.byteCount)])),
          ])))
      offset += item.byteCount
    }
    var text = Array(JSONValue.object(members).serialize().utf8)
    while text.count % 8 != 0 { text.append(UInt8(ascii: " ")) }
    let length = (0..<8).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) }
    return length + text
  }

  private static func put<E: Error>(_ item: Item, _ put: (RawSpan) throws(E) -> Void) throws(E) {
    switch item.payload {
    case .floats(let values, let count):
      try put(unsafe RawSpan(_unsafeStart: values.pointer, byteCount: 4 * count))
    case .doubles(let values): try unsafe put(values.span.bytes)
    case .int64s(let values): try unsafe put(values.span.bytes)
    case .int32s(let values): try unsafe put(values.span.bytes)
    case .uint8s(let values): try unsafe put(values.span.bytes)
    }
  }
}
