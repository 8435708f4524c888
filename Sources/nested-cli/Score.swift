import ArgumentParser
import Glibc
import Nested

struct Score: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "How well a model, or a session of it, predicts texts.",
    discussion: """
      Each text is read from the same state: a fresh stream, or the session, which stays as it is. \
      The first byte of a fresh stream has no prediction and does not count.

      EXAMPLES:
        nested-cli score book.safetensors held-out.txt
        nested-cli score book.safetensors a.txt b.txt -s notes.safetensors
        nested-cli score book.safetensors a.txt --learn on --json
      """)

  @Argument(help: "The model.", completion: .safetensors)
  var model: String

  @Argument(help: "Texts; - or nothing is standard input.", completion: .file())
  var texts: [String] = ["-"]

  @Option(
    name: .shortAndLong, help: ArgumentHelp("Go on from this session.", valueName: "file"),
    completion: .safetensors)
  var session: String?

  @Option(
    help: ArgumentHelp(
      "What learns meanwhile: memories and levels, memories, or neither.", valueName: "mode"))
  var learn = Learning.memory

  @OptionGroup var threads: Threads
  @OptionGroup var console: Console

  func run() throws {
    Interrupt.watch()
    let model = try Model.reading(model, threads.context())
    let start =
      try session.map { try Session.reading($0, of: model) }
      ?? Session(model)
    try start.setLearn(learn.mode)
    var total = Meter()
    for path in texts {
      let stream = try start.fork()
      var input = Input([path])
      var meter = Meter()
      try stream.feed(&input) { bytes, fed, predicted in
        meter.add(tokens: bytes, count: predicted, loss: fed.loss)
        console.progress("\(path)  \(grouped(meter.tokens)) bytes  \(meter.text)")
      }
      try Interrupt.check()
      total.add(meter)
      try report(path, meter)
    }
    if texts.count > 1 { try report(nil, total) }
  }

  private func report(_ path: String?, _ meter: Meter) throws {
    try console.result(
      [
        "file": path.map(JSON.string) ?? .null, "bytes": .integer(meter.tokens),
        "predicted": .integer(meter.count), "nats": .finite(meter.nats),
        "bits_per_byte": .finite(meter.bits), "perplexity": .finite(exp(meter.loss)),
      ],
      "\(fixed(meter.bits, 4)) bits per byte  perplexity \(fixed(exp(meter.loss), 3))  "
        + "\(grouped(meter.tokens)) bytes  \(path ?? "all")")
  }
}
