import Glibc
import NestedBase
import NestedCheckpoint
import Testing

@Suite struct JSONTests {
  /// Texts that are refused, with the byte at which the error is reported.
  static let refused: [(text: [UInt8], offset: Int)] = [
    ([], 0),
    (Array("{\"a\":1,}".utf8), 8), (Array("[1 2]".utf8), 4), (Array("nul".utf8), 3),
    (Array("{\"a\":1,\"b\":2,\"a\":3}".utf8), 16),
    (Array("[1e999]".utf8), 6), (Array("[-1e999]".utf8), 7),
    (Array("NaN".utf8), 3), (Array("[Infinity]".utf8), 9), (Array("[-Infinity]".utf8), 2),
    (Array("9223372036854775808".utf8), 19), (Array("-9223372036854775809".utf8), 20),
    (Array("{} {}".utf8), 4), (Array("1 x".utf8), 3),
    (Array("\"\\u0000\"".utf8), 7), (Array("\"a\u{1}\"".utf8), 2),
    (Array("\"\\ud800\"".utf8), 7), (Array("\"\\x\"".utf8), 2),
    ([0xEF, 0xBB, 0xBF] + Array("{}".utf8), 0),
    ([0x22, 0x61, 0x00, 0x62, 0x22], 2), (Array("{}".utf8) + [0], 2),
    ([0x22, 0xFF, 0x22], 1), ([0x22, 0xC0, 0x80, 0x22], 1), ([0x22, 0xED, 0xA0, 0x80, 0x22], 1),
    (Array("[1".utf8), 2), (Array("\"abc".utf8), 4), (Array("01".utf8), 2), (Array("+1".utf8), 1),
    (Array(".5".utf8), 1), (Array("1.".utf8), 2), (Array("'a'".utf8), 1),
    (Array("// c\n1".utf8), 1),
    (Array("{a:1}".utf8), 2), (Array("]".utf8), 1),
  ]

  @Test(arguments: 0..<refused.count)
  func malformedTextsAreRefusedWithTheirOffset(index: Int) {
    let (text, offset) = Self.refused[index]
    do throws(NestedError) {
      _ = try JSONValue.parse(text)
      Issue.record("accepted \(String(decoding: text, as: UTF8.self))")
    } catch {
      #expect(error.code == .parse)
      #expect(abs(error.offset - offset) <= 1, "\(String(decoding: text, as: UTF8.self)): \(error)")
      #expect(error.offset >= 0 && error.offset <= text.count)
      #expect(!error.message.utf8.contains(0x0A))
    }
  }

  @Test func depthEndsAtThirtyTwo() throws {
    let deep = { (n: Int) in
      [UInt8](repeating: UInt8(ascii: "["), count: n)
        + [UInt8](repeating: UInt8(ascii: "]"), count: n)
    }
    _ = try JSONValue.parse(deep(32))
    for count in [33, 1000, 1_000_000] {
      do throws(NestedError) {
        _ = try JSONValue.parse(deep(count))
        Issue.record("accepted depth \(count)")
      } catch {
        #expect(error.code == .parse && error.offset == 32)
      }
    }
    do throws(NestedError) {
      _ = try JSONValue.parse([UInt8](repeating: UInt8(ascii: " "), count: 2_000_000))
      Issue.record("accepted two million bytes")
    } catch {
      #expect(error.code == .parse && error.offset == JSONValue.maximumLength)
    }
    // Brackets inside strings are no depth.
    let text = "\"" + String(repeating: "[{\\\"", count: 100) + "\""
    _ = try JSONValue.parse(text)
  }

  @Test func aStackOf128KiBIsEnough() {
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    pthread_attr_setstacksize(&attributes, 128 << 10)
    var thread = pthread_t()
    let code = pthread_create(
      &thread, &attributes,
      { _ in
        var text = String(repeating: "{\"k\":[", count: 16)
        text += "1.5" + String(repeating: "]}", count: 16)
        let value = try? JSONValue.parse(text)
        let copy = value.flatMap { try? JSONValue.parse($0.serialize(sorted: true)) }
        return value != nil && value == copy ? UnsafeMutableRawPointer(bitPattern: 1) : nil
      }, nil)
    #expect(code == 0)
    var result: UnsafeMutableRawPointer?
    pthread_join(thread, &result)
    #expect(result == UnsafeMutableRawPointer(bitPattern: 1))
  }

  @Test func integersAreExactAndFloatsShortest() throws {
    let cases: [(String, JSONValue)] = [
      ("9223372036854775807", .int(.max)), ("-9223372036854775808", .int(.min)),
      ("9007199254740993", .int(9_007_199_254_740_993)), ("0", .int(0)), ("1.0", .double(1)),
      ("0.1", .double(0.1)), ("1e-06", .double(1e-6)), ("5e-324", .double(.leastNonzeroMagnitude)),
      ("1.7976931348623157e+308", .double(.greatestFiniteMagnitude)), ("-0.0", .double(-0.0)),
    ]
    for (text, value) in cases {
      #expect(try JSONValue.parse(text) == value)
      #expect(value.serialize() == text)
    }
    var bits: UInt64 = 1
    for _ in 0..<20000 {
      bits = bits &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      let number = Double(bitPattern: bits)
      guard number.isFinite else { continue }
      guard case .double(let back) = try JSONValue.parse(JSONValue.double(number).serialize())
      else {
        Issue.record("\(number) came back as something else")
        continue
      }
      #expect(back.bitPattern == number.bitPattern)
    }
    #expect(JSONValue.shortest(0.01).serialize() == "0.01")
    #expect(JSONValue.double(.nan).serialize() == "null")
  }

  @Test func textKeepsItsBytes() throws {
    let text = "{\"b\\n\\\"\\\\\":\"\\u00e9\\ud83d\\ude00\\u0001\",\"a\":[true,false,null,{}]}"
    let value = try JSONValue.parse(text)
    #expect(value["b\n\"\\"] == .string("é😀\u{1}"))
    #expect(try JSONValue.parse(value.serialize()) == value)
    #expect(
      value.serialize(sorted: true) == "{\"a\":[true,false,null,{}],\"b\\n\\\"\\\\\":\"é😀\\u0001\"}"
    )
    // Two keys that Unicode calls equivalent are two keys.
    let twins = try JSONValue.parse("{\"\\u00e9\":1,\"e\\u0301\":2}")
    #expect(twins["\u{e9}"] == .int(1) && twins["e\u{301}"] == .int(2))
  }

  @Test func theHostsLocaleChangesNothing() throws {
    var comma: locale_t?
    for name in ["ps_AF.UTF-8", "de_DE.UTF-8", "fr_FR.UTF-8"] where comma == nil {
      comma = newlocale(1 << LC_NUMERIC, name, nil)
    }
    guard let comma else { return }  // none is installed
    let host = uselocale(comma)
    defer {
      uselocale(host)
      freelocale(comma)
    }
    #expect(try JSONValue.parse("[1.5,1e-3]") == .array([.double(1.5), .double(0.001)]))
    #expect(JSONValue.double(1.5).serialize() == "1.5")
    #expect(uselocale(nil) == comma)
  }

  @Test func pointersAreFollowed() throws {
    let value = try JSONValue.parse("{\"a/b\":{\"~\":[10,{\"\":20}]}}")
    #expect(try value.value(at: "") == value)
    #expect(try value.value(at: "/a~1b/~0/0") == .int(10))
    #expect(try value.value(at: "/a~1b/~0/1/") == .int(20))
    for pointer in ["/a", "/a~1b/~0/2", "/a~1b/~0/00", "/a~1b/~0/-", "/a~1b/~0/0/x"] {
      #expect { try value.value(at: pointer) } throws: { ($0 as? NestedError)?.code == .notFound }
    }
    for pointer in ["a", "/~2", "/~"] {
      #expect { try value.value(at: pointer) } throws: { ($0 as? NestedError)?.code == .argument }
    }
  }
}
