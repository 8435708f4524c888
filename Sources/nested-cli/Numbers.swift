import Glibc
import Nested

/// 3.14159 → "3.14"; what is no number → "-".
func fixed(_ value: Double, _ digits: Int32) -> String {
  guard value.isFinite else { return "-" }
  var text = [CChar](repeating: 0, count: 400)
  withVaList([digits, value]) { _ = vsnprintf(&text, text.count, "%.*f", $0) }
  return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

/// 1234567 → "1,234,567".
func grouped(_ value: some BinaryInteger) -> String {
  var text = ""
  for (index, digit) in String(value).reversed().enumerated() {
    if index > 0 && index % 3 == 0 && digit != "-" { text.append(",") }
    text.append(digit)
  }
  return String(text.reversed())
}

/// 4200000 → "4.2 MB".
func size(_ bytes: some BinaryInteger) -> String {
  var (value, unit) = (Double(bytes), "B")
  for larger in ["kB", "MB", "GB", "TB"] where value >= 1000 {
    (value, unit) = (value / 1000, larger)
  }
  return "\(fixed(value, unit == "B" ? 0 : 1)) \(unit)"
}

func rate(_ tokensPerSecond: Double) -> String {
  "\(tokensPerSecond.isFinite ? grouped(Int(tokensPerSecond)) : "-") tokens/s"
}

extension JSON {
  /// null for what JSON cannot say.
  static func finite(_ value: Double) -> JSON { value.isFinite ? .number(value) : .null }
}

/// A mean loss over tokens, and how fast they come.
struct Meter {
  private(set) var nats = 0.0
  private(set) var count = 0  // tokens with a loss
  private(set) var tokens = 0
  private let start = seconds()

  /// `tokens` more, `count` of them with a prediction, of `loss` nats each on average.
  mutating func add(tokens: Int, count: Int, loss: Double) {
    self.tokens += tokens
    guard loss.isFinite else { return }
    nats += loss * Double(count)
    self.count += count
  }

  mutating func add(_ other: Meter) {
    add(tokens: other.tokens, count: other.count, loss: other.loss)
  }

  var loss: Double { count > 0 ? nats / Double(count) : .nan }
  var bits: Double { loss / log(2) }
  var elapsed: Double { seconds() - start }
  var rate: Double { elapsed > 0 ? Double(tokens) / elapsed : .nan }

  /// How long `more` tokens will take: "1:05 left".
  func left(_ more: Double) -> String {
    guard rate > 0, more / rate < 1e8 else { return "" }
    let seconds = Int(more / rate)
    return "\(seconds / 60):\(seconds % 60 < 10 ? "0" : "")\(seconds % 60) left"
  }

  /// "2.315 bits per byte  17,100 tokens/s"
  var text: String { "\(fixed(bits, 3)) bits per byte  \(nested_cli.rate(rate))" }
}
