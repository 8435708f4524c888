import Glibc

/// SplitMix64: numbers for tests, the same everywhere.
package struct OracleRandom: Sendable {
  private var state: UInt64
  package init(_ seed: UInt64) { state = seed }

  package mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
  package mutating func uniform() -> Double { Double(next() >> 11) * 0x1p-53 }
  package mutating func normal() -> Double {
    (-2 * log(1 - uniform())).squareRoot() * cos(2 * Double.pi * uniform())
  }
  package mutating func token(_ vocab: Int) -> Int { Int(next() % UInt64(vocab)) }
  package mutating func tokens(_ count: Int, vocab: Int) -> [Int] {
    (0..<count).map { _ in token(vocab) }
  }
}

extension OracleOptions {
  /// Values for every parameter, livelier than SPEC 2's initialisation so that no gradient is small by
  /// accident: memories, biases, norms and all convolution taps are away from their special values.
  /// Every value is a Float, so that a float32 library starts from the same numbers.
  package func randomParameters(seed: UInt64) -> [String: [Double]] {
    var random = OracleRandom(seed)
    var out: [String: [Double]] = [:]
    for (name, shape) in parameterShapes {
      let count = shape.reduce(1, *)
      let fanIn = Double(shape.last ?? 1)
      let center: Double
      let deviation: Double
      if name.hasSuffix("eta_bias") {
        (center, deviation) = (1, 0.3)
      } else if name.hasSuffix("alpha_bias") {
        (center, deviation) = (3, 0.5)
      } else if name.hasSuffix("norm.weight") {
        (center, deviation) = (1, 0.2)
      } else if name.hasSuffix("_conv.weight") {
        (center, deviation) = (0.3, 0.4)
      } else if name.hasSuffix("embed.weight") {
        (center, deviation) = (0, 0.5)
      } else if name.contains(".memory.") {
        (center, deviation) = (0, 0.5 / fanIn.squareRoot())
      } else {
        (center, deviation) = (0, 1 / fanIn.squareRoot())
      }
      out[name] = (0..<count).map { _ in Double(Float(center + deviation * random.normal())) }
    }
    return out
  }
}
