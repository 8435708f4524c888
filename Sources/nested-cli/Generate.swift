import ArgumentParser
import Glibc
import Nested

struct Generate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Go on with a text.",
    discussion: """
      The bytes appear as they are drawn. The same model, prompt, options and --seed give the same \
      bytes. With --session the stream is the session's; its file stays as it is unless --save says \
      where to put what it has become.

      EXAMPLES:
        nested-cli generate book.safetensors --prompt 'Once upon'
        nested-cli generate book.safetensors --prompt-file letter.txt -t 0 -n 80
        nested-cli generate book.safetensors -s notes.safetensors --stop $'\\n'
      """)

  @Argument(help: "The model.", completion: .safetensors)
  var model: String

  @Option(
    name: .shortAndLong,
    help: ArgumentHelp(
      "What comes before (default: a newline, or what the session has read).", valueName: "text"))
  var prompt: String?

  @Option(
    help: ArgumentHelp("The same from a file; - is standard input.", valueName: "file"),
    completion: .file())
  var promptFile: String?

  @Option(
    name: .shortAndLong, help: ArgumentHelp("Go on from this session.", valueName: "file"),
    completion: .safetensors)
  var session: String?

  @Option(name: [.customShort("n"), .long], help: ArgumentHelp("Bytes to draw.", valueName: "n"))
  var length = 256

  @Option(
    name: .shortAndLong, help: ArgumentHelp("0 = always the likeliest byte.", valueName: "number"))
  var temperature = 0.8

  @Option(help: ArgumentHelp("Draw from the likeliest so many; 0 = all.", valueName: "n"))
  var topK = 0

  @Option(
    help: ArgumentHelp(
      "Draw from the likeliest of so much probability in all; 0 = all.", valueName: "number"))
  var topP = 0.0

  @Option(
    help: ArgumentHelp(
      "Drop what is less likely than this fraction of the likeliest; 0 = nothing.",
      valueName: "number"))
  var minP = 0.0

  @Option(help: ArgumentHelp("Make the last 64 bytes less likely; 1 = no.", valueName: "number"))
  var repetitionPenalty = 1.0

  @Option(
    help: ArgumentHelp("End after this text; may be given more than once.", valueName: "text"))
  var stop: [String] = []

  @Option(
    help: ArgumentHelp(
      "Seed of a fresh stream; a session has its own (default: 0).", valueName: "n"))
  var seed: UInt64?

  @Option(
    help: ArgumentHelp("Save the session as it is after this.", valueName: "file"),
    completion: .safetensors)
  var save: String?

  @Flag(help: "Overwrite --save.")
  var force = false

  @OptionGroup var threads: Threads
  @OptionGroup var console: Console

  func validate() throws {
    guard prompt == nil || promptFile == nil else {
      throw ValidationError("Give one of --prompt and --prompt-file.")
    }
    guard session == nil || seed == nil else {
      throw ValidationError("A session has its own seed; leave --seed out.")
    }
    guard length > 0 else { throw ValidationError("--length is at least 1.") }
    guard !stop.contains("") else { throw ValidationError("--stop is not empty.") }
  }

  func run() throws {
    if let save { try checkOutput(save, force: force) }
    Interrupt.watch()
    let model = try Model.reading(model, threads.context())
    let stream =
      try session.map { try Session.reading($0, of: model) } ?? Session(model, seed: seed ?? 0)
    let prompt = try readPrompt()
    if !prompt.isEmpty { try stream.feed(prompt) }
    guard try stream.info.position > 0 else {
      throw Failure(.usage, "there is nothing to go on from: give a --prompt")
    }
    var tail = Tail(stop.map { Array($0.utf8) })
    var sum = 0.0
    let start = seconds()
    let result = try stream.generate(length, sampling: sampling) { event in
      let byte = UInt8(event.token)
      sum += event.logProbability
      if !console.json { try Standard.write([Standard.isTerminal ? harmless(byte) : byte]) }
      return tail.ends(with: byte) || Interrupt.signal != nil ? .stop : .continue
    }
    let elapsed = seconds() - start
    if let save { try about(save, writing: true) { try stream.save(to: save) } }
    let bytes = result.tokens.map(UInt8.init)
    if console.json {
      try console.result(
        [
          "text": .string(String(decoding: bytes, as: UTF8.self)),
          "bytes": .array(bytes.map { .integer(Int($0)) }),
          "finish": .string(tail.isComplete ? "stop" : bytes.count < length ? "signal" : "length"),
          "bits_per_byte": .finite(-sum / log(2) / Double(bytes.count)),
          "tokens_per_second": .finite(Double(bytes.count) / elapsed),
        ], "")
    } else if Standard.isTerminal && bytes.last != UInt8(ascii: "\n") {
      try Standard.write([UInt8(ascii: "\n")])
    }
    try Interrupt.check()
  }

  /// A fresh stream has to read something before it can go on.
  private func readPrompt() throws -> [UInt8] {
    if let promptFile { return try Input.all(of: [promptFile]) }
    return Array((prompt ?? (session == nil ? "\n" : "")).utf8)
  }

  private var sampling: Sampling {
    Sampling(
      temperature: temperature, topK: topK, topP: topP, minP: minP,
      repetitionPenalty: repetitionPenalty)
  }
}

/// A terminal obeys control characters, and a model may draw any.
private func harmless(_ byte: UInt8) -> UInt8 {
  byte >= 32 && byte != 127 || byte == 10 || byte == 9 ? byte : UInt8(ascii: "?")
}

/// The last bytes drawn, beside the texts that end the drawing.
private struct Tail {
  private let stops: [[UInt8]]
  private var bytes: [UInt8] = []
  private(set) var isComplete = false

  init(_ stops: [[UInt8]]) { self.stops = stops }

  mutating func ends(with byte: UInt8) -> Bool {
    bytes.append(byte)
    isComplete = stops.contains { bytes.suffix($0.count) == $0[...] }
    return isComplete
  }
}
