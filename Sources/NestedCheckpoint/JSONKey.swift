internal import NestedBase

/// One row: a key's name, its help, and how it stands in `Root`.
package struct JSONKey<Root: Sendable>: Sendable {
  package let name: String
  package let help: String
  let read: @Sendable (Root) -> JSONValue
  let apply: @Sendable (inout Root, JSONValue, _ place: String) throws(NestedError) -> Void
  let replace:
    @Sendable (inout Root, ArraySlice<String>, JSONValue, _ place: String) throws(NestedError) ->
      Void
  let schema: @Sendable (Root) -> [JSONMember]
  /// Whether the canonical form has the key. It may be left out where it decides nothing, so that a configuration
  /// keeps its fingerprint when the library gains a kind.
  private(set) var isShown: @Sendable (Root) -> Bool = { _ in true }

  package func shown(where condition: @escaping @Sendable (Root) -> Bool) -> JSONKey {
    var copy = self
    copy.isShown = condition
    return copy
  }

  /// From its parts.
  init(
    name: String, help: String, read: @escaping @Sendable (Root) -> JSONValue,
    apply: @escaping @Sendable (inout Root, JSONValue, String) throws(NestedError) -> Void,
    replace:
      @escaping @Sendable (inout Root, ArraySlice<String>, JSONValue, String)
      throws(NestedError) -> Void,
    schema: @escaping @Sendable (Root) -> [JSONMember]
  ) {
    self.name = name
    self.help = help
    self.read = read
    self.apply = apply
    self.replace = replace
    self.schema = schema
  }

  /// A key without parts. `follows` says from what the value follows when it is not given: then the
  /// schema names no default.
  private init(
    _ name: String, _ help: String, follows: String?, type: [JSONMember],
    read: @escaping @Sendable (Root) -> JSONValue,
    apply: @escaping @Sendable (inout Root, JSONValue, String) throws(NestedError) -> Void
  ) {
    self.name = name
    self.help = help
    self.read = read
    self.apply = apply
    replace = { (root, tokens, value, place) throws(NestedError) in
      if let token = tokens.first {
        throw ConfigurationError.unknown(JSONPointer.appending(token, to: place))
      }
      try apply(&root, value, place)
    }
    let text = follows.map { "\(help) Default: \($0)." } ?? help
    schema = { root in
      var members = type + [JSONMember("description", .string(text))]
      if follows == nil { members.append(JSONMember("default", read(root))) }
      return members
    }
  }

  package static func integer(
    _ name: String, _ path: any WritableKeyPath<Root, Int> & Sendable, in range: ClosedRange<Int>,
    follows: String? = nil, _ help: String
  ) -> JSONKey {
    let type = [
      JSONMember("type", .string("integer")), JSONMember("minimum", .int(range.lowerBound)),
      JSONMember("maximum", .int(range.upperBound)),
    ]
    return JSONKey(
      name, help, follows: follows, type: type, read: { .int($0[keyPath: path]) },
      apply: { (root, value, place) throws(NestedError) in
        guard case .int(let number) = value, range.contains(number) else {
          throw ConfigurationError.expected(
            "an integer from \(range.lowerBound) to \(range.upperBound)", value, place)
        }
        root[keyPath: path] = number
      })
  }

  package static func number(
    _ name: String, _ path: any WritableKeyPath<Root, Float> & Sendable, in range: JSONRange,
    follows: String? = nil, _ help: String
  ) -> JSONKey {
    JSONKey(
      name, help, follows: follows, type: range.schema, read: { .shortest($0[keyPath: path]) },
      apply: { (root, value, place) throws(NestedError) in
        // The range is that of the float32 that will be computed with; + 0 makes -0 a 0.
        guard let number = value.number, range.contains(Float(number)) else {
          throw ConfigurationError.expected(range.text, value, place)
        }
        root[keyPath: path] = Float(number) + 0
      })
  }

  package static func number(
    _ name: String, _ path: any WritableKeyPath<Root, Double> & Sendable, in range: JSONRange,
    _ help: String
  ) -> JSONKey {
    JSONKey(
      name, help, follows: nil, type: range.schema, read: { .double($0[keyPath: path]) },
      apply: { (root, value, place) throws(NestedError) in
        guard let number = value.number, range.contains(number) else {
          throw ConfigurationError.expected(range.text, value, place)
        }
        root[keyPath: path] = number + 0
      })
  }

  package static func flag(
    _ name: String, _ path: any WritableKeyPath<Root, Bool> & Sendable, _ help: String
  ) -> JSONKey {
    JSONKey(
      name, help, follows: nil, type: [JSONMember("type", .string("boolean"))],
      read: { .bool($0[keyPath: path]) },
      apply: { (root, value, place) throws(NestedError) in
        guard case .bool(let flag) = value else {
          throw ConfigurationError.expected("true or false", value, place)
        }
        root[keyPath: path] = flag
      })
  }

  /// One of the names of an enumeration.
  package static func choice<Choice: RawRepresentable & CaseIterable & Sendable>(
    _ name: String, _ path: any WritableKeyPath<Root, Choice> & Sendable, _ help: String
  ) -> JSONKey where Choice.RawValue == String {
    let names = Choice.allCases.map { $0.rawValue }
    return JSONKey(
      name, help, follows: nil,
      type: [JSONMember("enum", .array(names.map { .string($0) }))],
      read: { .string($0[keyPath: path].rawValue) },
      apply: { (root, value, place) throws(NestedError) in
        guard case .string(let text) = value, let choice = Choice(rawValue: text) else {
          throw ConfigurationError.expected("one of \(names.joined(separator: ", "))", value, place)
        }
        root[keyPath: path] = choice
      })
  }

  /// A list of different names; its canonical order is that of `names`, whose bits are 1, 2, 4, ...
  package static func set<Bits: OptionSet & Sendable>(
    _ name: String, _ path: any WritableKeyPath<Root, Bits> & Sendable, of names: [String],
    _ help: String
  ) -> JSONKey where Bits.RawValue == Int {
    let type = [
      JSONMember("type", .string("array")), JSONMember("uniqueItems", .bool(true)),
      JSONMember("items", .object([JSONMember("enum", .array(names.map { .string($0) }))])),
    ]
    return JSONKey(
      name, help, follows: nil, type: type,
      read: { root in
        let bits = root[keyPath: path].rawValue
        return .array(names.indices.filter { bits >> $0 & 1 == 1 }.map { .string(names[$0]) })
      },
      apply: { (root, value, place) throws(NestedError) in
        guard case .array(let items) = value else {
          throw ConfigurationError.expected("a list of names", value, place)
        }
        var bits = 0
        for (i, item) in items.enumerated() {
          guard case .string(let text) = item, let bit = names.firstIndex(of: text),
            bits >> bit & 1 == 0
          else {
            throw ConfigurationError.expected(
              "\(names.joined(separator: ", ")), each at most once", item,
              JSONPointer.appending(i.description, to: place))
          }
          bits |= 1 << bit
        }
        root[keyPath: path] = Bits(rawValue: bits)
      })
  }
}
