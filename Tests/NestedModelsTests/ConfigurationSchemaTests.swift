import NestedBase
import NestedCheckpoint
import NestedModels
import Testing

/// The schema, the parser and the canonical form are made from one table; these tests see that they say
/// the same.
@Suite struct ConfigurationSchemaTests {
  private let schema = try! JSONValue.parse(ModelConfiguration.schema)

  /// Every key of the schema that is no object or list of objects, with its pointer and its row.
  private func leaves(_ schema: JSONValue, _ pointer: String) -> [(pointer: String, row: JSONValue)]
  {
    if case .object(let properties)? = schema["properties"] {
      return properties.flatMap { leaves($0.value, "\(pointer)/\($0.key)") }
    }
    if let items = schema["items"], items["properties"] != nil {
      return leaves(items, "\(pointer)/0")
    }
    return [(pointer, schema)]
  }

  private func accepts(_ pointer: String, _ value: JSONValue) -> Bool {
    var configuration = ModelConfiguration()
    return (try? configuration.set(pointer, to: value)) != nil
  }

  @Test func rangesAndNamesOfTheSchemaAreThoseOfTheParser() throws {
    var count = 0
    for (pointer, row) in leaves(schema, "") where pointer != "/preset" {
      count += 1
      #expect(row["description"] != nil, "\(pointer) has no help")
      switch row["type"] {
      case .string("integer"):
        guard case .int(let low)? = row["minimum"], case .int(let high)? = row["maximum"] else {
          Issue.record("\(pointer) has no range")
          continue
        }
        #expect(accepts(pointer, .int(low)) && accepts(pointer, .int(high)))
        #expect(!accepts(pointer, .int(low - 1)) && !accepts(pointer, .int(high + 1)))
        #expect(!accepts(pointer, .double(Double(high))))
      case .string("number"):
        let low = row["minimum"] ?? row["exclusiveMinimum"]
        let high = row["maximum"] ?? row["exclusiveMaximum"]
        let (a, b) = (try #require(low?.number), try #require(high?.number))
        #expect(accepts(pointer, .double(a)) == (row["minimum"] != nil))
        #expect(accepts(pointer, .double(b)) == (row["maximum"] != nil))
        #expect(!accepts(pointer, .double(a - 0.001)) && !accepts(pointer, .double(b * 1.001)))
        #expect(accepts(pointer, .double(a + (b - a) / 2)))
      case .string("boolean"):
        #expect(accepts(pointer, .bool(true)) && !accepts(pointer, .int(1)))
      case .string("array"):
        guard case .array(let names)? = row["items"]?["enum"] else {
          Issue.record("\(pointer) has no names")
          continue
        }
        #expect(accepts(pointer, .array(names)) && accepts(pointer, .array([])))
        #expect(!accepts(pointer, .array([names[0], names[0]])))
      default:
        guard case .array(let names)? = row["enum"] else {
          Issue.record("\(pointer) has neither type nor names")
          continue
        }
        for name in names { #expect(accepts(pointer, name)) }
        #expect(!accepts(pointer, .string("nonsense")))
      }
      #expect(!accepts(pointer, .null) && !accepts(pointer, .object([])))
    }
    #expect(count == 17 + 16 + 8 + 3 + 5 + 5 + 4)
  }

  @Test func schemaAndCanonicalFormHaveTheSameKeysAndDefaults() throws {
    let canonical = ModelConfiguration().json
    func compare(_ schema: JSONValue, _ value: JSONValue, _ pointer: String) {
      guard case .object(let properties)? = schema["properties"], case .object(let members) = value
      else {
        if let expected = schema["default"], !pointer.hasPrefix("/cms/levels/") {
          #expect(expected == value, "\(pointer)")
        }
        return
      }
      #expect(schema["additionalProperties"] == .bool(false))
      let keys = properties.map(\.key).filter {
        pointer != "" || !["preset", "titans", "rope_scaling", "head"].contains($0)
      }
      #expect(keys.sorted() == members.map(\.key).sorted())
      for member in members {
        guard let row = schema["properties"]?[member.key] else { continue }
        if case .array(let items) = member.value, let item = row["items"], item["properties"] != nil
        {
          #expect(row["default"] == member.value)
          for (i, value) in items.enumerated() {
            compare(item, value, "\(pointer)/\(member.key)/\(i)")
          }
        } else {
          compare(row, member.value, "\(pointer)/\(member.key)")
        }
      }
    }
    compare(schema, canonical, "")
    // A kind's own object is in the canonical form of that kind alone.
    let titans = try #require(ModelConfiguration(kind: .titans).json["titans"])
    compare(try #require(schema["properties"]?["titans"]), titans, "/titans")
    // So is a scaling of positions where there is one.
    var scaled = ModelConfiguration()
    scaled.ropeScaling.type = .llama3
    let members = try #require(scaled.json["rope_scaling"])
    guard case .object(let shown) = members else { return }
    for member in shown where member.key != "type" {
      #expect(schema["properties"]?["rope_scaling"]?["properties"]?[member.key]?["default"] == member.value)
    }
    #expect(shown.count == 5)
    let head = try #require(ModelConfiguration(kind: .cms).json["head"])
    compare(try #require(schema["properties"]?["head"]), head, "/head")
    #expect(
      schema["properties"]?["preset"]?["enum"]
        == .array(ModelConfiguration.presetNames.map { .string($0) }))
    // Keys that follow others have no default, and say what they follow.
    for key in ["head_dim", "n_heads", "n_kv_heads", "d_ff", "vocab"] {
      let row = schema["properties"]?[key]
      #expect(row?["default"] == nil)
      guard case .string(let help)? = row?["description"] else { continue }
      #expect(help.contains("Default: "))
    }
  }
}
