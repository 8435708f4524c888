package import NestedBase
package import NestedCheckpoint

extension ModelConfiguration {
  /// From JSON text, strictly: `.parse` with the byte offset when it is no JSON, `.config` with the
  /// JSON pointer for an unknown key, a wrong type or a value out of range. Keys that are not given
  /// have their defaults. What concerns several keys at once is `validate()`'s.
  package init(json text: Span<UInt8>) throws(NestedError) {
    try self.init(json: JSONValue.parse(text))
  }
  package init(json text: [UInt8]) throws(NestedError) { try self.init(json: text.span) }
  package init(json text: String) throws(NestedError) { try self.init(json: Array(text.utf8)) }

  package init(json value: JSONValue) throws(NestedError) {
    self.init()
    vocab = 0
    guard case .object(var members) = value else {
      throw ConfigurationError.expected("an object", value, "")
    }
    if let preset = value[Self.presetKey] {
      try apply(preset: preset)
      members.removeAll { $0.key.isSameBytes(as: Self.presetKey) }
    }
    try Self.table.apply(.object(members), to: &self)
    if vocab == 0 && inputs == 0 {
      throw ConfigurationError.invalid("vocab or inputs is required", "/vocab")
    }
  }

  /// The configuration that a preset is: byte tokens where the preset names no vocabulary.
  package static func preset(_ name: String) throws(NestedError) -> ModelConfiguration {
    var configuration = ModelConfiguration()
    try configuration.apply(preset: .string(name))
    return configuration
  }

  package static let presetNames = ConfigurationPreset.all.map { $0.name }

  private static let presetKey = "preset"

  private mutating func apply(preset value: JSONValue) throws(NestedError) {
    guard case .string(let name) = value,
      let preset = ConfigurationPreset.all.first(where: { $0.name.isSameBytes(as: name) })
    else {
      throw ConfigurationError.expected(
        "one of \(Self.presetNames.joined(separator: ", "))", value, "/preset")
    }
    try Self.table.apply(JSONValue.parse(preset.json), to: &self)
  }

  /// Replaces what the pointer names. An object that is set takes the defaults for keys that it
  /// lacks; "/preset" sets a preset's keys; "" replaces everything. On failure nothing has changed.
  package mutating func set(_ pointer: String, to value: JSONValue) throws(NestedError) {
    let tokens = try JSONPointer.tokens(pointer)
    var copy = self
    if tokens.isEmpty {
      copy = try ModelConfiguration(json: value)
    } else if tokens.count == 1, tokens[0].isSameBytes(as: Self.presetKey) {
      try copy.apply(preset: value)
    } else {
      try Self.table.replace(&copy, tokens[...], by: value)
    }
    self = copy
  }

  package mutating func set(_ pointer: String, json text: Span<UInt8>) throws(NestedError) {
    try set(pointer, to: JSONValue.parse(text))
  }
  package mutating func set(_ pointer: String, json text: String) throws(NestedError) {
    try set(pointer, to: JSONValue.parse(text))
  }

  /// What stands at the pointer; `.notFound` when there is nothing.
  package func get(_ pointer: String) throws(NestedError) -> JSONValue {
    try json.value(at: pointer)
  }

  /// Every key, sorted.
  package var json: JSONValue { Self.table.value(of: self) }

  /// Equal configurations are equal bytes.
  package var canonicalJSON: String { json.serialize(sorted: true) }

  /// FNV-1a (64 bits) of the canonical JSON.
  package var fingerprint: UInt64 {
    canonicalJSON.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
  }

  /// JSON Schema of a configuration, with defaults, ranges and help.
  package static let schema: String = {
    let presets = ConfigurationPreset.all.map { "\($0.name): \($0.help)" }.joined(separator: "; ")
    let preset = JSONMember(
      presetKey,
      .object([
        JSONMember("enum", .array(presetNames.map { .string($0) })),
        JSONMember("description", .string("Defaults that the other keys override (\(presets)).")),
      ]))
    let choices = ["vocab", "inputs", presetKey].map { name -> JSONValue in
      .object([JSONMember("required", .array([.string(name)]))])
    }
    var members = [
      JSONMember("$schema", .string("https://json-schema.org/draft/2020-12/schema")),
      JSONMember("anyOf", .array(choices)),
    ]
    for member in table.schema(defaults: ModelConfiguration()) {
      guard member.key == "properties", case .object(let properties) = member.value else {
        members.append(member)
        continue
      }
      members.append(JSONMember("properties", .object(properties + [preset])))
    }
    return JSONValue.object(members).serialize(sorted: true)
  }()
}
