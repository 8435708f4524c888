package import NestedBase

/// What a JSON object may hold: one row a key. Parsing, setting one key, the canonical form and the
/// JSON Schema are all made from the rows, so they cannot drift apart.
package struct JSONTable<Root: Sendable>: Sendable {
  package let title: String
  package let keys: [JSONKey<Root>]  // by the bytes of their names

  package init(_ title: String, _ keys: [JSONKey<Root>]) {
    self.title = title
    self.keys = keys.sorted { $0.name.precedesInBytes($1.name) }
  }

  package func key(named name: String) -> JSONKey<Root>? {
    keys.first { $0.name.isSameBytes(as: name) }
  }

  /// Sets the keys that the object has and leaves the others. `place` is the object's own JSON
  /// pointer. Throws `.config` with the pointer of what is wrong; `root` may then be half changed.
  package func apply(
    _ value: JSONValue, to root: inout Root, place: String = ""
  ) throws(NestedError) {
    guard case .object(let members) = value else {
      throw ConfigurationError.expected("an object", value, place)
    }
    for member in members {
      let place = JSONPointer.appending(member.key, to: place)
      guard let key = key(named: member.key) else { throw ConfigurationError.unknown(place) }
      try key.apply(&root, member.value, place)
    }
  }

  /// Replaces what the pointer's tokens name, which are not empty.
  package func replace(
    _ root: inout Root, _ tokens: ArraySlice<String>, by value: JSONValue, place: String = ""
  ) throws(NestedError) {
    guard let name = tokens.first else { return }
    let place = JSONPointer.appending(name, to: place)
    guard let key = key(named: name) else { throw ConfigurationError.unknown(place) }
    try key.replace(&root, tokens.dropFirst(), value, place)
  }

  /// Every key that is shown with its value, sorted.
  package func value(of root: Root) -> JSONValue {
    .object(keys.filter { $0.isShown(root) }.map { JSONMember($0.name, $0.read(root)) })
  }

  /// JSON Schema of the object; defaults are the values that `root` has.
  package func schema(defaults root: Root) -> [JSONMember] {
    [
      JSONMember("type", .string("object")),
      JSONMember("title", .string(title)),
      JSONMember("additionalProperties", .bool(false)),
      JSONMember("properties", .object(keys.map { JSONMember($0.name, .object($0.schema(root))) })),
    ]
  }
}
