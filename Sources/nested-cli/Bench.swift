import ArgumentParser
import Glibc
import Nested

struct Bench: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measure how fast a model is on this machine.",
    discussion: """
      Each kind of work is repeated for --seconds after a first round that does not count; the figure \
      is the median of the rounds. Weights do not matter for speed: a new model will do.

      EXAMPLES:
        nested-cli bench
        nested-cli bench --preset hope-10m --threads 1
        nested-cli bench --from book.safetensors --seconds 5 --json
      """)

  @OptionGroup var source: ModelSource

  @Option(help: ArgumentHelp("Seconds for each kind of work.", valueName: "number"))
  var seconds = 2.0

  @OptionGroup var threads: Threads
  @OptionGroup var console: Console

  func validate() throws {
    guard seconds > 0 else { throw ValidationError("--seconds is above 0.") }
  }

  func run() throws {
    Interrupt.watch()
    let model = try source.model(threads.context(), seed: 0)
    let text = Self.text(1024)
    let trainer = try Trainer(model, options: ["schedule": ["type": "constant"]])
    try measure("train", tokens: 8 * 256) {
      try trainer.fit(text, steps: 1, batch: 8, length: 256)
    }
    for (name, mode) in [("read", LearnMode.memory), ("learn", .on)] {
      let session = try Session(model, learn: mode)
      try measure(name, tokens: text.count) { try session.feed(text) }
    }
    let session = try Session(model)
    try session.feed(text)
    try measure("generate", tokens: 128) {
      try session.generate(128, sampling: Sampling(temperature: 0.8, topK: 40))
    }
  }

  private func measure(_ work: String, tokens: Int, _ body: () throws -> Void) throws {
    try body()
    var rates: [Double] = []
    let end = nested_cli.seconds() + seconds
    repeat {
      let start = nested_cli.seconds()
      try body()
      rates.append(Double(tokens) / (nested_cli.seconds() - start))
      console.progress("\(work)  \(rate(rates[rates.count - 1]))")
      try Interrupt.check()
    } while nested_cli.seconds() < end || rates.count < 3
    rates.sort()
    let (low, median, high) = (rates[0], rates[rates.count / 2], rates[rates.count - 1])
    try console.result(
      [
        "work": .string(work), "tokens_per_second": .number(median), "lowest": .number(low),
        "highest": .number(high), "rounds": .integer(rates.count),
      ],
      work + String(repeating: " ", count: 10 - work.count) + rate(median)
        + "  (\(grouped(Int(low))) to \(grouped(Int(high))), \(rates.count) rounds)")
  }

  /// Bytes that look like words; the same each time.
  private static func text(_ count: Int) -> [UInt8] {
    var state: UInt32 = 1
    return (0..<count).map { _ in
      state = state &* 1_664_525 &+ 1_013_904_223
      let letter = UInt8(truncatingIfNeeded: (state >> 24) % 32)
      return letter < 26 ? UInt8(ascii: "a") + letter : UInt8(ascii: " ")
    }
  }
}
