/// Everything that was measured.
struct Report {
  struct Size {
    let name: String
    let parameters: Int
    let flops: Cost
  }
  /// sgemm, GFLOP/s.
  struct Rates {
    let one: Double
    let all: Double
    let threads: Int
  }

  let machine: Machine
  let threads: Int
  var peak: Rates?
  var models: [Size] = []
  var throughput: [Throughput] = []
  var latency: [Latency] = []
  var sessions: [SessionSize] = []
  var loading: Loading?

  init(machine: Machine, threads: Int) {
    self.machine = machine
    self.threads = threads
  }
}

/// With `digits` behind the point; "–" for what is not a number.
func fixed(_ value: Double, _ digits: Int) -> String {
  if !value.isFinite { return "–" }
  var scale = 1.0
  for _ in 0..<digits { scale *= 10 }
  let scaled = Int((value.magnitude * scale).rounded())
  let (whole, rest) = (scaled / Int(scale), scaled % Int(scale))
  let tail = String(rest)
  return (value < 0 && scaled > 0 ? "-" : "") + "\(whole)"
    + (digits == 0 ? "" : "." + String(repeating: "0", count: digits - tail.count) + tail)
}

/// Rounded, with a comma between thousands.
func grouped(_ value: Double) -> String {
  if !value.isFinite { return "–" }
  var digits = Array(fixed(value, 0))
  var place = digits.count - 3
  while place > 0 && digits[place - 1] != "-" {
    digits.insert(",", at: place)
    place -= 3
  }
  return String(digits)
}
