internal import NestedBase
internal import NestedCheckpoint

extension ModelConfiguration {
  /// The `transformer` that computes what transformers' LlamaForCausalLM of this config.json does. What only training or
  /// its generation looks at is left unread; max_position_embeddings bounds nothing here.
  ///
  /// `.config` with the JSON pointer into config.json for a key that is missing or wrong, `.unsupported` for what has no
  /// counterpart.
  init(llama json: JSONValue) throws(NestedError) {
    let file = ForeignConfiguration(json)
    try file.expect("architectures", "LlamaForCausalLM") {
      if case .array(let names) = $0, names.count == 1 { names[0] } else { $0 }
    }
    try file.expect("hidden_act", "silu", orNone: true)
    for key in ["attention_bias", "mlp_bias"] where try file.flag(key) {
      throw file.unsupported("biases of projections", "/\(key)")
    }
    for key in ["quantization_config", "sliding_window"] where file.json.given(key) != nil {
      throw file.unsupported("\(key) \(file.json.given(key)?.summary ?? "")", "/\(key)")
    }
    self.init(kind: .transformer)
    vocab = try file.integer("vocab_size", in: 1...(1 << 24))
    dModel = try file.integer("hidden_size", in: 1...65536)
    nLayers = try file.integer("num_hidden_layers", in: 1...1024)
    dFF = try file.integer("intermediate_size", in: 1...(1 << 20))
    tieEmbeddings = try file.flag("tie_word_embeddings")
    normEps = try file.single("rms_norm_eps", in: .above(0, to: 1), default: 1e-6)
    try readHeads(file)
    try readPositions(file)
  }

  private mutating func readHeads(_ file: ForeignConfiguration) throws(NestedError) {
    nHeads = try file.integer("num_attention_heads", in: 1...65536)
    nKVHeads = try file.integer("num_key_value_heads", in: 1...65536, default: nHeads)
    headDim = try file.integer("head_dim", in: 1...65536, default: max(1, dModel / nHeads))
    guard nHeads * headDim == dModel else {
      throw file.unsupported("\(nHeads) heads of width \(headDim) in a model of width \(dModel)", "/head_dim")
    }
    guard headDim % 2 == 0 else { throw file.unsupported("an odd width of heads, \(headDim)", "/head_dim") }
    guard nHeads % nKVHeads == 0 else {
      throw file.wrong("a divisor of num_attention_heads", .int(nKVHeads), "/num_key_value_heads")
    }
  }

  /// Since its version 5 transformers writes `rope_parameters`, base and scaling in one; before, `rope_theta` beside
  /// `rope_scaling`, whose `rope_type` was once called `type`.
  private mutating func readPositions(_ file: ForeignConfiguration) throws(NestedError) {
    let key = file.json.given("rope_parameters") != nil ? "rope_parameters" : "rope_scaling"
    // transformers 5 writes one of the two, and takes the old key where there are both.
    if key == "rope_parameters" {
      for old in ["rope_scaling", "rope_theta"] where file.json.given(old) != nil {
        guard old == "rope_theta", file.json.given(old)?.number == file.json.given(key)?["rope_theta"]?.number else {
          throw file.unsupported("\(old) beside rope_parameters", "\(file.place)/\(old)")
        }
      }
    }
    let rope = try file.object(key)
    let base = rope.json.given("rope_theta") != nil ? rope : file
    ropeTheta = try base.single("rope_theta", in: .from(1, to: 1e12), default: 10000)
    for part in [file, rope] where try part.number("partial_rotary_factor", in: .from(0, to: 1), default: 1) != 1 {
      throw part.unsupported("heads of which a part turns", "\(part.place)/partial_rotary_factor")
    }
    let typeKey = rope.json.given("rope_type") != nil ? "rope_type" : "type"
    let type = rope.json.given(typeKey) ?? .string("default")
    guard case .string(let name) = type else { throw rope.wrong("a name", type, "\(rope.place)/\(typeKey)") }
    switch name {
    case "default": return
    case "linear": ropeScaling.type = .linear
    case "llama3": ropeScaling.type = .llama3
    default: throw rope.unsupported("rope scaling \(type.summary)", "\(rope.place)/\(typeKey)")
    }
    ropeScaling.factor = try rope.number("factor", in: .from(1, to: 1e6))
    guard ropeScaling.type == .llama3 else { return }
    ropeScaling.lowFrequencyFactor = try rope.number("low_freq_factor", in: .above(0, to: 1e6))
    ropeScaling.highFrequencyFactor = try rope.number("high_freq_factor", in: .above(0, to: 1e6))
    let original = "original_max_position_embeddings"
    ropeScaling.originalMaxPosition =
      rope.json.given(original) != nil
      ? try rope.integer(original, in: 1...(1 << 40)) : try file.integer("max_position_embeddings", in: 1...(1 << 40))
    guard ropeScaling.highFrequencyFactor > ropeScaling.lowFrequencyFactor else {
      throw rope.wrong(
        "more than low_freq_factor", .double(ropeScaling.highFrequencyFactor), "\(rope.place)/high_freq_factor")
    }
  }
}

/// An object of a config.json, with its place in it. A key that is null counts as not given.
private struct ForeignConfiguration {
  let json: JSONValue
  let place: String

  init(_ json: JSONValue, _ place: String = "") { (self.json, self.place) = (json, place) }

  /// The object of that name, empty where there is none.
  func object(_ key: String) throws(NestedError) -> ForeignConfiguration {
    let value = json.given(key) ?? .object([])
    guard case .object = value else { throw wrong("an object", value, "\(place)/\(key)") }
    return ForeignConfiguration(value, "\(place)/\(key)")
  }

  func integer(_ key: String, in range: ClosedRange<Int>, default standard: Int? = nil) throws(NestedError) -> Int {
    if json.given(key) == nil, let standard { return standard }
    let value = json.given(key) ?? .null
    guard case .int(let number) = value, range.contains(number) else {
      throw wrong("an integer from \(range.lowerBound) to \(range.upperBound)", value, "\(place)/\(key)")
    }
    return number
  }

  func number(_ key: String, in range: JSONRange, default standard: Double? = nil) throws(NestedError) -> Double {
    if json.given(key) == nil, let standard { return standard }
    let value = json.given(key) ?? .null
    guard let number = value.number, range.contains(number) else { throw wrong(range.text, value, "\(place)/\(key)") }
    return number
  }

  /// In the range as the float32 that it becomes.
  func single(_ key: String, in range: JSONRange, default standard: Double) throws(NestedError) -> Float {
    let single = try Float(number(key, in: range, default: standard))
    guard range.contains(single) else { throw wrong(range.text, .double(Double(single)), "\(place)/\(key)") }
    return single
  }

  func flag(_ key: String) throws(NestedError) -> Bool {
    switch json.given(key) ?? .bool(false) {
    case .bool(let flag): return flag
    case let value: throw wrong("true or false", value, "\(place)/\(key)")
    }
  }

  /// The one name that the key may have.
  func expect(
    _ key: String, _ name: String, orNone: Bool = false, _ part: (JSONValue) -> JSONValue = { $0 }
  ) throws(NestedError) {
    guard let value = json.given(key).map(part) else {
      if orNone { return }
      throw wrong(JSONValue.string(name).summary, .null, "\(place)/\(key)")
    }
    guard case .string(let given) = value else {
      throw wrong(JSONValue.string(name).summary, value, "\(place)/\(key)")
    }
    guard given.isSameBytes(as: name) else {
      throw unsupported("\(key) \(value.summary), only \(name)", "\(place)/\(key)")
    }
  }

  func wrong(_ what: String, _ value: JSONValue, _ place: String) -> NestedError {
    let got = value == .null ? "nothing" : value.summary
    return NestedError(.config, "[config.json] expected \(what), got \(got)", place: place)
  }

  func unsupported(_ what: String, _ place: String) -> NestedError {
    NestedError(.unsupported, "[config.json] this library does not have \(what)", place: place)
  }
}

extension JSONValue {
  fileprivate func given(_ key: String) -> JSONValue? {
    guard let value = self[key], value != .null else { return nil }
    return value
  }
}
