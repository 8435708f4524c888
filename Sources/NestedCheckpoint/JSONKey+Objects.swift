internal import NestedBase

extension JSONKey {
  /// An object with its own table. A pointer to it replaces it: keys that are not given take the
  /// values that `fresh` has.
  package static func object<Part: Sendable>(
    _ name: String, _ path: any WritableKeyPath<Root, Part> & Sendable, _ table: JSONTable<Part>,
    fresh: Part, _ help: String
  ) -> JSONKey {
    JSONKey(
      name: name, help: help, read: { table.value(of: $0[keyPath: path]) },
      apply: { (root, value, place) throws(NestedError) in
        try table.apply(value, to: &root[keyPath: path], place: place)
      },
      replace: { (root, tokens, value, place) throws(NestedError) in
        if tokens.isEmpty {
          var part = fresh
          try table.apply(value, to: &part, place: place)
          root[keyPath: path] = part
        } else {
          try table.replace(&root[keyPath: path], tokens, by: value, place: place)
        }
      },
      schema: { root in
        table.schema(defaults: root[keyPath: path]) + [JSONMember("description", .string(help))]
      })
  }

  /// A list of objects of one table, replaced as a whole or item by item; the index "-" or the
  /// list's length adds an item.
  package static func list<Item: Sendable>(
    _ name: String, _ path: any WritableKeyPath<Root, [Item]> & Sendable, _ table: JSONTable<Item>,
    fresh: Item, count: ClosedRange<Int>, _ help: String
  ) -> JSONKey {
    let what = "a list of \(count.lowerBound) to \(count.upperBound) objects"
    let apply: @Sendable (inout Root, JSONValue, String) throws(NestedError) -> Void = {
      (root, value, place) throws(NestedError) in
      guard case .array(let values) = value, count.contains(values.count) else {
        throw ConfigurationError.expected(what, value, place)
      }
      var items: [Item] = []
      for (i, value) in values.enumerated() {
        var item = fresh
        try table.apply(value, to: &item, place: JSONPointer.appending(i.description, to: place))
        items.append(item)
      }
      root[keyPath: path] = items
    }
    return JSONKey(
      name: name, help: help,
      read: { root in .array(root[keyPath: path].map { table.value(of: $0) }) }, apply: apply,
      replace: { (root, tokens, value, place) throws(NestedError) in
        guard let token = tokens.first else { return try apply(&root, value, place) }
        var items = root[keyPath: path]
        let place = JSONPointer.appending(token, to: place)
        let index = token == "-" ? items.count : JSONPointer.index(token)
        guard let index, index <= items.count, index < count.upperBound,
          index < items.count || tokens.count == 1
        else { throw ConfigurationError.unknown(place) }
        var item = fresh
        if tokens.count == 1 {
          try table.apply(value, to: &item, place: place)
        } else {
          item = items[index]
          try table.replace(&item, tokens.dropFirst(), by: value, place: place)
        }
        if index == items.count { items.append(item) } else { items[index] = item }
        root[keyPath: path] = items
      },
      schema: { root in
        [
          JSONMember("type", .string("array")), JSONMember("minItems", .int(count.lowerBound)),
          JSONMember("maxItems", .int(count.upperBound)),
          JSONMember("items", .object(table.schema(defaults: fresh))),
          JSONMember("description", .string(help)),
          JSONMember("default", .array(root[keyPath: path].map { table.value(of: $0) })),
        ]
      })
  }
}
