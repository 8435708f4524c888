import NestedBase
import NestedModels
import NestedTensor
import NestedTraining
import Oracle

/// The oracle's options and numbers in the library's hands.
extension Model {
  static func matching(
    _ o: OracleOptions, _ values: [String: [Double]], threads: Int = 1
  ) throws -> Model {
    let model = try Model(
      runtime: Runtime(threads: threads),
      configuration: ModelConfiguration(json: o.configurationJSON),
      seed: 1)
    precondition(
      Set(model.layout.entries.map(\.name)) == Set(o.parameterShapes.map(\.name)),
      "the library's parameters are not those of SPEC 7")
    try model.withMutableWeights { (w: Floats) in
      for entry in model.layout.entries {
        let value = values[entry.name]!
        for i in 0..<entry.count { w[entry.offset + i] = Float(value[i]) }
      }
    }
    return model
  }

  /// All weights by name.
  var named: [String: [Double]] {
    withWeights { (w: Floats) in self.named(w) }
  }

  /// A flat vector by name.
  func named(_ flat: Floats) -> [String: [Double]] {
    var out: [String: [Double]] = [:]
    for entry in layout.entries {
      out[entry.name] = (0..<entry.count).map { Double(flat[entry.offset + $0]) }
    }
    return out
  }

  /// logits [B T V]
  func logits(rows: [[Int]]) throws -> [Double] {
    let tokens = rows.flatMap { $0.map { Int32($0) } }
    var out = [Float](repeating: .nan, count: tokens.count * configuration.vocab)
    try tokens.withUnsafeBufferPointer { tokens in
      try out.withUnsafeMutableBufferPointer { out in
        try logits(
          tokens: Tokens(tokens.baseAddress!), batch: rows.count, length: rows[0].count,
          into: Floats(out.baseAddress!), control: quiet)
      }
    }
    return out.map { Double($0) }
  }

  /// d(Σ weight · loss)/d(parameter) by name, and the sum of losses; targets [B T] or nil.
  func gradients(
    rows: [[Int]], targets: [Int]? = nil, weights: [Double]? = nil
  ) throws -> (gradients: [String: [Double]], lossSum: Double, targets: Double) {
    let tokens = rows.flatMap { $0.map { Int32($0) } }
    let targets = targets.map { $0.map { Int32($0) } }
    var weights = weights.map { $0.map { Float($0) } }
    var flat = [Float](repeating: 0, count: layout.count)
    let engine = try runtime.checkOut()
    engine.memory.poisons = true
    defer { runtime.checkIn(engine) }
    func run(_ t: Tokens?, _ w: Floats?) throws -> (lossSum: Double, targets: Double) {
      try tokens.withUnsafeBufferPointer { tokens in
        try flat.withUnsafeMutableBufferPointer { flat in
          let (tokens, flat) = (Tokens(tokens.baseAddress!), Floats(flat.baseAddress!))
          return try addGradient(
            of: self, tokens: tokens, targets: t, lossWeights: w, batch: rows.count,
            length: rows[0].count, into: flat, engine: engine, control: quiet)
        }
      }
    }
    let result: (lossSum: Double, targets: Double)
    if let targets {
      result = try targets.withUnsafeBufferPointer { t in
        if weights != nil {
          return try weights!.withUnsafeMutableBufferPointer { w in
            try run(Tokens(t.baseAddress!), Floats(w.baseAddress!))
          }
        }
        return try run(Tokens(t.baseAddress!), nil)
      }
    } else {
      result = try run(nil, nil)
    }
    let gradients = flat.withUnsafeMutableBufferPointer { named(Floats($0.baseAddress!)) }
    return (gradients, result.lossSum, result.targets)
  }
}

extension Session {
  /// Feeds in one call; logits [n V].
  @discardableResult
  func read(_ tokens: [Int]) throws -> [Float] {
    var out = [Float](repeating: .nan, count: tokens.count * model.configuration.vocab)
    let tokens = tokens.map { Int32($0) }
    if tokens.isEmpty { return [] }
    _ = try tokens.withUnsafeBufferPointer { tokens in
      try out.withUnsafeMutableBufferPointer { out in
        try feed(
          tokens: Tokens(tokens.baseAddress!), count: tokens.count,
          logits: Floats(out.baseAddress!),
          lastOnly: false, control: quiet)
      }
    }
    return out
  }

  /// Feeds in calls of the given sizes, over and over; logits [n V].
  @discardableResult
  func read(_ tokens: [Int], pieces: [Int]) throws -> [Float] {
    var out: [Float] = []
    var at = 0
    var i = 0
    while at < tokens.count {
      let end = min(at + pieces[i % pieces.count], tokens.count)
      out += try read(Array(tokens[at..<end]))
      at = end
      i += 1
    }
    return out
  }

  /// The weights of every level as this session has them, by name.
  var online: [String: [Double]] {
    get throws {
      var out: [String: [Double]] = [:]
      for entry in model.layout.entries where entry.level >= 0 {
        try withOnlineWeights(entry) { (online, count, _, _) in
          out[entry.name] = (0..<count).map { Double(online[$0]) }
        }
      }
      return out
    }
  }
}

/// Σ (a - b)² over vectors by name, against the size of the change from `start`.
func changeError(
  _ a: [String: [Double]], _ b: [String: [Double]], from start: [String: [Double]]
) -> Double {
  let names = a.keys.sorted()
  func change(_ x: [String: [Double]]) -> [Double] {
    names.flatMap { name in zip(x[name]!, start[name]!).map { $0 - $1 } }
  }
  return relativeError(change(a), change(b))
}
