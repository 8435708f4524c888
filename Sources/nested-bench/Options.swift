/// The command line.
struct Options {
  static let groups = [
    "loading", "feeding", "decoding", "generating", "latency", "sessions", "training",
  ]
  static let usage = """
    usage: nested-bench [--models PRESET,...] [--only GROUP,...] [--seconds S] [--threads N]
                        [--output DIR]
      --models   presets of the library; default hope-1m,hope-10m
      --only     of \(groups.joined(separator: ", ")); default all
      --seconds  least time per measurement; default 2
      --threads  of the context; default all cores
      --output   also writes RESULTS.md and results.json there
    """

  var models = ["hope-1m", "hope-10m"]
  var only: [String] = []
  var seconds = 2.0
  var threads = 0
  var output: String?

  /// nil when the user asks for help.
  init?(_ arguments: ArraySlice<String>) throws {
    var rest = arguments
    func list(_ text: String) -> [String] { text.split(separator: ",").map(String.init) }
    while let option = rest.popFirst() {
      if option == "--help" || option == "-h" { return nil }
      guard let value = rest.popFirst() else {
        throw BenchError("\(option) needs a value, or is unknown\n\(Self.usage)")
      }
      switch option {
      case "--models": models = list(value)
      case "--only": only = list(value)
      case "--seconds": seconds = try Self.number(value)
      case "--threads": threads = Int(try Self.number(value))
      case "--output": output = value
      default: throw BenchError("\(option) is unknown\n\(Self.usage)")
      }
    }
    for group in only where !Self.groups.contains(group) {
      throw BenchError("\(group) is not one of \(Self.groups.joined(separator: ", "))")
    }
  }

  func does(_ group: String) -> Bool { only.isEmpty || only.contains(group) }

  private static func number(_ text: String) throws -> Double {
    guard let value = Double(text), value >= 0, value < 1e6 else {
      throw BenchError("\(text) is not a number from 0 on")
    }
    return value
  }
}
