internal import CNested

/// The architecture of a model: a valid, complete, immutable value.
///
/// ```swift
/// let small = try Configuration(["kind": "hope", "vocab": 256, "d_model": 64, "n_layers": 2])
/// let wider = try small.replacing(["/d_model": 128, "/head_dim": 64, "/n_heads": 2])
/// ```
///
/// ``Library/configurationSchema`` lists the keys, with defaults and ranges.
public struct Configuration: Sendable {
  let handle: Handle
  /// Every key present and sorted: equal configurations are equal texts.
  public let json: String

  init(_ handle: Handle) throws(NestedError) {
    self.handle = handle
    json = try unsafe handle.text { unsafe nested_config_to_json($0, "", $1) }
  }

  private init(
    create: (UnsafeMutablePointer<OpaquePointer?>) -> nested_status
  ) throws(NestedError) {
    try unsafe self.init(Handle(release: nested_config_release, create: create))
  }

  /// The defaults of kind "hope", over bytes (vocab 256).
  public init() throws(NestedError) {
    try unsafe self.init {
      unsafe nested_config_create(Int32(truncatingIfNeeded: NESTED_KIND_HOPE), $0)
    }
  }

  /// From JSON text.
  ///
  /// - Throws: ``Status/parse`` with the byte, ``Status/configuration`` with the JSON pointer for
  ///   unknown keys, wrong types, and values that do not go together, ``Status/unsupported`` for
  ///   what this build lacks.
  public init(json: String) throws(NestedError) {
    var json = json
    try unsafe self.init { out in
      json.withUTF8 { bytes in
        unsafe bytes.withMemoryRebound(to: CChar.self) {
          unsafe nested_config_from_json($0.baseAddress, $0.count, out)
        }
      }
    }
  }

  /// From a value: `["preset": "hope-1m", "vocab": 256]`. Throws as ``init(json:)`` does.
  public init(_ json: JSON) throws(NestedError) {
    try self.init(json: json.description)
  }

  /// A configuration of other values at some JSON pointers: `["/cms/levels/1/chunk": 32]`.
  ///
  /// Keys that were derived keep their value: with "/d_model" give "/head_dim" and "/n_heads" as
  /// well.
  ///
  /// - Throws: ``Status/notFound`` when a pointer leads nowhere, ``Status/configuration`` with the
  ///   place.
  public func replacing(
    _ changes: KeyValuePairs<String, JSON>
  ) throws(NestedError) -> Configuration {
    let changed = try Configuration(json: json).handle
    for (pointer, value) in changes {
      let (pointer, value) = (try cText(pointer, place: "changes"), value.description)
      try check(
        unsafe changed.use {
          unsafe nested_config_set_json($0, pointer, value, value.utf8.count)
        })
    }
    try check(unsafe changed.use { unsafe nested_config_validate($0) })
    return try Configuration(changed)
  }

  /// The whole number at a JSON pointer, "/d_model".
  ///
  /// - Throws: ``Status/notFound``; ``Status/configuration`` when it is of another type.
  public func integer(at pointer: String) throws(NestedError) -> Int {
    let pointer = try cText(pointer, place: "pointer")
    var value: Int64 = 0
    try check(unsafe handle.use { unsafe nested_config_get_int($0, pointer, &value) })
    return Int(value)
  }

  /// The number at a JSON pointer, "/cms/levels/0/lr". Throws as ``integer(at:)`` does.
  public func number(at pointer: String) throws(NestedError) -> Double {
    let pointer = try cText(pointer, place: "pointer")
    var value = 0.0
    try check(unsafe handle.use { unsafe nested_config_get_float($0, pointer, &value) })
    return value
  }

  /// The JSON text of what is at a JSON pointer.
  ///
  /// - Throws: ``Status/notFound``.
  public func json(at pointer: String) throws(NestedError) -> String {
    let pointer = try cText(pointer, place: "pointer")
    return try unsafe handle.text { unsafe nested_config_to_json($0, pointer, $1) }
  }
}

extension Configuration: Hashable, CustomStringConvertible {
  public static func == (a: Configuration, b: Configuration) -> Bool { a.json == b.json }
  public func hash(into hasher: inout Hasher) { hasher.combine(json) }
  /// The JSON text.
  public var description: String { json }
}
