import ArgumentParser
import Nested

struct Learn: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Stream bytes into a session, which learns from them.",
    discussion: """
      The session is read from its file, or begun where there is none, and saved there at the end. \
      The model stays as it is. Bits per byte are of each byte before it was learnt from. Ctrl-C \
      finishes the piece, saves, and exits 130.

      EXAMPLES:
        nested-cli learn book.safetensors notes.txt --session notes.safetensors
        journalctl -f | nested-cli learn book.safetensors -s log.safetensors \\
          --checkpoint 65536
        nested-cli learn book.safetensors new.txt -s new.safetensors \\
          --delta new.delta.safetensors
      """)

  @Argument(help: "The model.", completion: .safetensors)
  var model: String

  @Argument(
    help: "What to read, one after the other; - or nothing is standard input.", completion: .file())
  var texts: [String] = ["-"]

  @Option(
    name: .shortAndLong,
    help: ArgumentHelp("The session's file, which is continued or made.", valueName: "file"),
    completion: .safetensors)
  var session: String

  @Option(
    help:
      ArgumentHelp(
        "What learns: memories and levels, memories, or neither (default: as saved, or on).",
        valueName: "mode")
  )
  var learn: Learning?

  @Option(help: ArgumentHelp("Seed of a new session, for sampling (default: 0).", valueName: "n"))
  var seed: UInt64?

  @Option(help: ArgumentHelp("Skip so many bytes of the input.", valueName: "n"))
  var skip = 0

  @Option(help: ArgumentHelp("Save every so many bytes; 0 = at the end only.", valueName: "n"))
  var checkpoint = 0

  @Option(help: ArgumentHelp("Report every so many bytes.", valueName: "n"))
  var every = 4096

  @Option(
    help: ArgumentHelp(
      "Also write what the levels have learnt, alone and small, to this file.", valueName: "file"),
    completion: .safetensors)
  var delta: String?

  @Flag(help: "Overwrite --delta.")
  var force = false

  @OptionGroup var threads: Threads
  @OptionGroup var console: Console

  func validate() throws {
    guard skip >= 0, checkpoint >= 0 else {
      throw ValidationError("--skip and --checkpoint are 0 or more.")
    }
    guard every > 0 else { throw ValidationError("--every is at least 1.") }
  }

  func run() throws {
    try checkOutput(session, force: true)
    if let delta { try checkOutput(delta, force: force) }
    Interrupt.watch()
    let stream = try open(Model.reading(model, threads.context()))
    var input = Input(texts)
    try input.skip(skip)
    var all = Meter()
    var part = Meter()
    var unsaved = 0
    try stream.feed(&input) { bytes, fed, predicted in
      all.add(tokens: bytes, count: predicted, loss: fed.loss)
      part.add(tokens: bytes, count: predicted, loss: fed.loss)
      unsaved += bytes
      if checkpoint > 0 && unsaved >= checkpoint {
        try save(stream)
        unsaved = 0
      }
      if part.tokens >= every {
        try report("read", stream, part)
        part = Meter()
      }
      console.progress("\(grouped(all.tokens)) bytes  \(part.text)")
    }
    try save(stream)
    if let delta {
      try about(delta, writing: true) { try stream.save(to: delta, delta: true) }
    }
    try report("saved", stream, all)
    guard let signal = Interrupt.signal else { return }
    console.hint("saved; --skip \(skip + all.tokens) goes on with this input")
    throw Stopped(signal: signal)
  }

  private func open(_ model: Model) throws -> Session {
    guard exists(session) else {
      return try Session(model, learn: learn?.mode ?? .on, seed: seed ?? 0)
    }
    if seed != nil {
      throw Failure(.usage, "\(session) is there and has its seed; leave --seed out")
    }
    let stream = try Session.reading(session, of: model)
    if let learn { try about(session) { try stream.setLearn(learn.mode) } }
    return stream
  }

  private func save(_ stream: Session) throws {
    try about(session, writing: true) { try stream.save(to: session) }
  }

  private func report(_ event: String, _ stream: Session, _ meter: Meter) throws {
    let info = try about(session) { try stream.info }
    try console.note(
      [
        "event": .string(event), "session": .string(session), "learn": .string("\(info.learn)"),
        "position": .integer(info.position), "bytes": .integer(meter.tokens),
        "bits_per_byte": .finite(meter.bits), "tokens_per_second": .finite(meter.rate),
        "updates": .integer(info.updates), "skipped_updates": .integer(info.skipped),
      ],
      "\(event == "saved" ? session : "position") \(grouped(info.position))  \(meter.text)  \(grouped(info.updates)) updates"
    )
  }
}
