package import NestedBase

/// The numbers that a key accepts; always finite.
package struct JSONRange: Sendable {
  let low: Double
  let high: Double
  let excludesLow: Bool
  let excludesHigh: Bool

  /// low ... high
  package static func from(_ low: Double, to high: Double) -> JSONRange {
    JSONRange(low: low, high: high, excludesLow: false, excludesHigh: false)
  }
  /// More than low, at most high.
  package static func above(_ low: Double, to high: Double) -> JSONRange {
    JSONRange(low: low, high: high, excludesLow: true, excludesHigh: false)
  }
  /// At least low, less than high.
  package static func from(_ low: Double, below high: Double) -> JSONRange {
    JSONRange(low: low, high: high, excludesLow: false, excludesHigh: true)
  }

  package func contains(_ value: Double) -> Bool {
    (excludesLow ? value > low : value >= low) && (excludesHigh ? value < high : value <= high)
  }

  /// The same among float32 numbers.
  package func contains(_ value: Float) -> Bool {
    let (low, high) = (Float(low), Float(high))
    return (excludesLow ? value > low : value >= low)
      && (excludesHigh ? value < high : value <= high)
  }

  package var text: String {
    "a number \(excludesLow ? "above" : "from") \(low) \(excludesHigh ? "below" : "to") \(high)"
  }

  var schema: [JSONMember] {
    [
      JSONMember("type", .string("number")),
      JSONMember(excludesLow ? "exclusiveMinimum" : "minimum", .double(low)),
      JSONMember(excludesHigh ? "exclusiveMaximum" : "maximum", .double(high)),
    ]
  }
}

extension JSONValue {
  /// The value of an integer or a float.
  package var number: Double? {
    switch self {
    case .int(let value): Double(value)
    case .double(let value): value
    default: nil
    }
  }

  /// A float32 as the double with the float's shortest digits: 0.01, not 0.009999999776482582.
  package static func shortest(_ value: Float) -> JSONValue {
    .double(Double(value.description) ?? Double(value))
  }
}

/// The errors of options given as JSON: `.config`, with the JSON pointer as the place.
package enum ConfigurationError {
  package static func expected(_ what: String, _ value: JSONValue, _ place: String) -> NestedError {
    NestedError(.config, "[config] expected \(what), got \(value.summary)", place: place)
  }
  package static func unknown(_ place: String) -> NestedError {
    NestedError(.config, "[config] unknown key", place: place)
  }
  package static func invalid(_ message: String, _ place: String) -> NestedError {
    NestedError(.config, "[config] \(message)", place: place)
  }
  /// A name that is right and whose part this build does not have.
  package static func unsupported(_ what: String, _ place: String) -> NestedError {
    NestedError(.unsupported, "[config] \(what) is not in this build", place: place)
  }
}
