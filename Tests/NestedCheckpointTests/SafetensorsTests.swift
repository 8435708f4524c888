import NestedBase
import NestedCheckpoint
import Testing

/// A file from a header text and so many zero bytes of data.
func file(_ header: String, data: Int) -> [UInt8] {
  let text = Array(header.utf8)
  return (0..<8).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) } + text
    + [UInt8](repeating: 0, count: data)
}

let identity = FileIdentity("test", version: 3)

/// Three tensors of three types. The memory of `floats` must live until the writer is done.
func sampleWriter(_ floats: Floats, sorted: Bool = false) throws -> SafetensorsWriter {
  var writer = SafetensorsWriter(identity, metadata: [("note", "é \"quoted\"")], sorted: sorted)
  try writer.add("u", shape: [3], [UInt8]([1, 2, 255]))
  try writer.add("w", shape: [2, 3], floats, count: 6)
  try writer.add("b", shape: [], floats, count: 1)
  try writer.add("clock", shape: [2], [Int64]([-1, .max]))
  try writer.add("ids", shape: [1, 2], [Int32]([7, -7]))
  try writer.add("sum", shape: [1], [Double]([0.1]))
  try writer.add("empty", shape: [0, 4], floats, count: 0)
  return writer
}

func withSample<R>(_ body: (Floats, [Float]) throws -> R) rethrows -> R {
  var values: [Float] = [1, -2.5, .infinity, -0.0, .leastNonzeroMagnitude, 3]
  let copy = values
  return try values.withUnsafeMutableBufferPointer { try body(Floats($0.baseAddress!), copy) }
}

@Suite struct SafetensorsTests {
  @Test(arguments: [false, true])
  func whatIsWrittenIsRead(sorted: Bool) throws {
    try withSample { floats, values in
      let writer = try sampleWriter(floats, sorted: sorted)
      let bytes = try writer.bytes()
      #expect(bytes.count == writer.byteCount)
      let file = try SafetensorsFile(bytes: bytes)
      try file.verifyChecksum()
      #expect(try file.identify(as: identity) == 3)
      #expect(file.metadata("note") == "é \"quoted\"")
      #expect(try file.floats("w", atMost: 6).map(\.bitPattern) == values.map(\.bitPattern))
      #expect(try file.floats("b", atMost: 1) == [1])
      #expect(try file.floats("empty", atMost: 0) == [])
      #expect(try file.uint8s("u", atMost: 3) == [1, 2, 255])
      #expect(try file.int64s("clock", atMost: 2) == [-1, .max])
      #expect(try file.int32s("ids", atMost: 2) == [7, -7])
      #expect(try file.doubles("sum", atMost: 1) == [0.1])
      #expect(try file.record(named: "w", shape: [2, 3]).count == 6)
      let expected =
        sorted
        ? ["clock", "sum", "empty", "b", "ids", "w", "u"]
        : ["clock", "sum", "empty", "w", "b", "ids", "u"]
      #expect(Set(file.records.map(\.name)) == Set(expected))
      // Every tensor is aligned to its element, the data to 8 bytes.
      let start = bytes.count - file.records.reduce(0) { $0 + $1.byteCount }
      #expect(start % 8 == 0)
      for record in file.records { #expect(record.offset % record.element.size == 0) }
      #expect(try writer.bytes() == bytes)
    }
  }

  @Test func orderIsGivenOrSorted() throws {
    try withSample { floats, _ in
      for (sorted, names) in [(false, ["b", "a", "c"]), (true, ["a", "b", "c"])] {
        var writer = SafetensorsWriter(identity, sorted: sorted)
        for name in ["b", "a", "c"] { try writer.add(name, shape: [1], floats, count: 1) }
        #expect(try SafetensorsFile(bytes: writer.bytes()).records.map(\.name) == names)
      }
    }
  }

  @Test func theWriterRefusesWhatNoReaderTakes() throws {
    try withSample { floats, _ in
      var writer = SafetensorsWriter(identity)
      try writer.add("a", shape: [6], floats, count: 6)
      #expect(throws: NestedError.self) { try writer.add("a", shape: [6], floats, count: 6) }
      #expect(throws: NestedError.self) { try writer.add("b", shape: [5], floats, count: 6) }
      #expect(throws: NestedError.self) {
        try writer.add("c", shape: [1 << 62, 4], floats, count: 0)
      }
      #expect(throws: NestedError.self) {
        try writer.add("__metadata__", shape: [1], floats, count: 1)
      }
      #expect(try SafetensorsFile(bytes: writer.bytes()).records.count == 1)
    }
  }

  /// Headers that break one rule each, with the bytes of data that follow.
  static let corrupt: [(header: String, data: Int)] = [
    ("", 0), ("[]", 0), (" {}", 0), ("{", 0), ("{}x", 0), ("{}", 1), ("{\"a\":1}", 0),
    ("{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4),
    ("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":1}}", 4),
    ("{\"a\":{\"dtype\":\"F33\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4),
    ("{\"a\":{\"dtype\":4,\"shape\":[1],\"data_offsets\":[0,4]}}", 4),
    ("{\"a\":{\"dtype\":\"F32\",\"shape\":1,\"data_offsets\":[0,4]}}", 4),
    ("{\"a\":{\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[0,4]}}", 4),
    ("{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4),
    ("{\"a\":{\"dtype\":\"F32\",\"shape\":[\"1\"],\"data_offsets\":[0,4]}}", 4),
    ("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4),
    ("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,4]}}", 4),
    ("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4),
    ("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}", 4),
    ("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4),
    ("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 3),
    ("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 5),
    ("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8),
    // Products and offsets at and beyond 2⁶³.
    ("{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,0]}}", 0),
    ("{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]}}", 0),
    (
      "{\"a\":{\"dtype\":\"F32\",\"shape\":[9223372036854775807,9223372036854775807,0],\"data_offsets\":[0,0]}}",
      0
    ),
    (
      "{\"a\":{\"dtype\":\"U8\",\"shape\":[9223372036854775807],\"data_offsets\":[0,9223372036854775807]}}",
      4
    ),
    (
      "{\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[9223372036854775807,9223372036854775807]}}",
      4
    ),
    // Two tensors: overlap, hole, the same name, the same bytes.
    (pair("a", 0, 8, "b", 4, 12), 12), (pair("a", 0, 8, "b", 12, 20), 20),
    (pair("a", 0, 8, "a", 8, 16), 16), (pair("a", 0, 8, "b", 0, 8), 8),
    (pair("a", 0, 8, "b", 0, 8), 16),
    ("{\"__metadata__\":[],\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1),
    (
      "{\"__metadata__\":{\"k\":1},\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}",
      1
    ),
    ("{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}}", 0),
    ("{\"__metadata__\":{},\"__metadata__\":{}}", 0),
    ("{\"a\":" + String(repeating: "[", count: 100_000) + "}", 0),
  ]

  static func pair(_ a: String, _ a0: Int, _ a1: Int, _ b: String, _ b0: Int, _ b1: Int) -> String {
    let entry = { (name: String, begin: Int, end: Int) in
      "\"\(name)\":{\"dtype\":\"U8\",\"shape\":[\(end - begin)],\"data_offsets\":[\(begin),\(end)]}"
    }
    return "{\(entry(a, a0, a1)),\(entry(b, b0, b1))}"
  }

  @Test(arguments: 0..<corrupt.count)
  func brokenHeadersAreCorrupt(index: Int) {
    let (header, data) = Self.corrupt[index]
    #expect {
      try SafetensorsFile(bytes: file(header, data: data))
    } throws: {
      guard let error = $0 as? NestedError else { return false }
      return error.code == .corrupt && error.offset >= 0
    }
  }

  @Test func headersOfEveryLengthAreBounded() {
    for length: UInt64 in [UInt64.max, 1 << 63, (32 << 20) + 1, 32 << 20, 3] {
      let bytes = (0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) } + Array("{}".utf8)
      #expect { try SafetensorsFile(bytes: bytes) } throws: {
        ($0 as? NestedError)?.code == .corrupt
      }
    }
  }

  @Test func foreignFilesThatFollowTheFormatAreRead() throws {
    let empty = try SafetensorsFile(bytes: file("{}", data: 0))
    #expect(empty.records.isEmpty && empty.metadata.isEmpty)
    try empty.verifyChecksum()
    #expect { try empty.identify(as: identity) } throws: { ($0 as? NestedError)?.code == .corrupt }
    let spaced = try SafetensorsFile(
      bytes: file(
        "{ \"b\" : {\"data_offsets\":[4,6],\"shape\":[1],\"dtype\":\"F16\"},\n\"a\":"
          + "{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}    ", data: 6))
    #expect(spaced.records.map(\.name) == ["a", "b"])
    #expect(spaced.record(named: "c") == nil)
  }

  /// Every prefix is an error, never a trap; so is one byte more.
  @Test func everyTruncationIsCorrupt() throws {
    try withSample { floats, _ in
      let bytes = try sampleWriter(floats).bytes()
      for length in 0..<bytes.count {
        #expect { try SafetensorsFile(bytes: Array(bytes[..<length])) } throws: {
          ($0 as? NestedError)?.code == .corrupt
        }
      }
      #expect { try SafetensorsFile(bytes: bytes + [0]) } throws: {
        ($0 as? NestedError)?.code == .corrupt
      }
    }
  }

  /// One changed byte anywhere: an error, a file that reads otherwise, or data that the checksum
  /// finds.
  @Test func everyDamagedByteIsSurvivedAndDataIsFound() throws {
    try withSample { floats, _ in
      let bytes = try sampleWriter(floats).bytes()
      let data =
        bytes.count - (try SafetensorsFile(bytes: bytes)).records.reduce(0) { $0 + $1.byteCount }
      for position in bytes.indices {
        for change: UInt8 in [1, 0x80, 0xFF] {
          var damaged = bytes
          damaged[position] ^= change
          do throws(NestedError) {
            let file = try SafetensorsFile(bytes: damaged)
            for record in file.records { _ = try? file.floats(record.name, atMost: 100) }
            try file.verifyChecksum()
            #expect(position < data)
          } catch {
            #expect(error.code == .corrupt)
          }
        }
      }
    }
  }

  @Test func otherFloatTypesAreConverted() throws {
    // All finite and infinite halves, against the hardware's conversion.
    var data: [UInt8] = []
    for bits in UInt16.min...UInt16.max { data += [UInt8(bits & 0xFF), UInt8(bits >> 8)] }
    for (type, convert) in [
      ("F16", { (bits: UInt16) in Float(Float16(bitPattern: bits)) }),
      ("BF16", { (bits: UInt16) in Float(bitPattern: UInt32(bits) << 16) }),
    ] {
      let header = "{\"h\":{\"dtype\":\"\(type)\",\"shape\":[65536],\"data_offsets\":[0,131072]}}"
      let read = try SafetensorsFile(bytes: file(header, data: 0) + data).floats("h", atMost: 65536)
      for bits in UInt16.min...UInt16.max {
        let (got, expected) = (read[Int(bits)], convert(bits))
        if !(got.bitPattern == expected.bitPattern || got.isNaN && expected.isNaN) {
          Issue.record("\(type) \(bits): \(got), not \(expected)")
        }
      }
    }
    var writer = SafetensorsWriter(identity)
    try writer.add("d", shape: [3], [0.1, 1e300, -0.0])
    let doubles = try SafetensorsFile(bytes: writer.bytes())
    #expect(try doubles.floats("d", atMost: 3) == [0.1, .infinity, -0.0])
    #expect { try doubles.int64s("d", atMost: 3) } throws: { ($0 as? NestedError)?.code == .dtype }
    #expect { try doubles.doubles("d", atMost: 2) } throws: {
      ($0 as? NestedError)?.code == .corrupt
    }
    #expect { try doubles.doubles("e", atMost: 2) } throws: { ($0 as? NestedError)?.place == "e" }
    #expect { try doubles.record(named: "d", shape: [3, 1]) } throws: {
      ($0 as? NestedError)?.code == .shape
    }
  }

  @Test func identityIsChecked() throws {
    let file = try SafetensorsFile(bytes: SafetensorsWriter(identity).bytes())
    #expect(try file.identify(as: FileIdentity("test", version: 4)) == 3)
    #expect { try file.identify(as: FileIdentity("test", version: 2)) } throws: {
      ($0 as? NestedError)?.code == .version
    }
    #expect { try file.identify(as: FileIdentity("model", version: 3)) } throws: {
      ($0 as? NestedError)?.code == .corrupt
    }
  }

  /// Values published with xxHash.
  @Test func checksumIsXXH64() {
    let cases: [(String, UInt64)] = [
      ("", 0xEF46_DB37_51D8_E999), ("a", 0xD24E_C4F1_A98C_6E5B), ("abc", 0x44BC_2CF5_AD77_0999),
      ("Nobody inspects the spammish repetition", 0xFBCE_A83C_8A37_8BF1),
    ]
    for (text, expected) in cases {
      let bytes = Array(text.utf8)
      for piece in [1, 3, 31, 32, 64] {
        var hash = XXH64()
        var start = 0
        while start < bytes.count {
          let end = min(start + piece, bytes.count)
          hash.update(Array(bytes[start..<end]).span.bytes)
          start = end
        }
        #expect(hash.value == expected)
      }
    }
  }
}
