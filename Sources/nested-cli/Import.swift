import ArgumentParser
import Nested

struct Import: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Make a model of a checkpoint that Hugging Face's transformers saved.",
    discussion: """
      Reads a folder with config.json and model.safetensors, or its index and shards, of \
      LlamaForCausalLM; the model has the same logits. The commands that read texts take \
      models of bytes; models of other vocabularies are for programs, with token ids.

      EXAMPLES:
        nested-cli import llama/ llama.safetensors
        nested-cli stack llama.safetensors learning-llama.safetensors
      """)

  @Argument(help: "The folder of the checkpoint.", completion: .directory)
  var folder: String

  @Argument(help: "The new model's file.", completion: .safetensors)
  var output: String

  @Flag(help: "Overwrite the file.")
  var force = false

  @OptionGroup var console: Console

  func run() throws {
    try checkOutput(output, force: force)
    Interrupt.watch()
    let context = try Context(threads: 1)
    let model: Model
    do {
      let run = Run { _ in Interrupt.signal == nil ? .continue : .stop }
      model = try Model(importing: folder, in: context, run: run)
    } catch {
      try Interrupt.check()
      throw Failure(importing: folder, error)
    }
    try about(output, writing: true) { try model.save(to: output) }
    try report(model, output, from: folder, console)
  }
}

struct Stack: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Give a trained transformer levels that go on learning.",
    discussion: """
      The feed-forward of every block becomes level --pretrained of a Continuum Memory System. The new \
      model answers as the old one until a session of it learns.

      EXAMPLES:
        nested-cli stack llama.safetensors new.safetensors
        nested-cli stack llama.safetensors new.safetensors --levels 64,1024
        nested-cli stack llama.safetensors new.safetensors \\
          --cms '{"levels": [{"chunk": 64, "lr": 0.003}]}'
      """)

  @Argument(help: "A model of kind transformer.", completion: .safetensors)
  var model: String

  @Argument(help: "The new model's file.", completion: .safetensors)
  var output: String

  @Option(help: ArgumentHelp("Periods of the levels in tokens, as 64,1024 (default: 64).", valueName: "numbers"))
  var levels: List<Int>?

  @Option(
    help: ArgumentHelp("The levels as the configuration's \"cms\": JSON, or a file of it.", valueName: "json"),
    completion: .file(extensions: ["json"]))
  var cms: String?

  @Option(help: ArgumentHelp("The level that the feed-forward becomes, 0 = the fastest.", valueName: "n"))
  var pretrained = 0

  @Option(help: ArgumentHelp("Seed of the new levels.", valueName: "n"))
  var seed: UInt64 = 0

  @Flag(help: "Overwrite the file.")
  var force = false

  @OptionGroup var console: Console

  func validate() throws {
    if levels != nil && cms != nil { throw ValidationError("Give one of --levels and --cms.") }
  }

  func run() throws {
    try checkOutput(output, force: force)
    let model = try about(model) { try Model(contentsOf: self.model, in: Context(threads: 1)) }
    let json = try description()
    let stacked = try about(cms == nil ? self.model : "--cms") {
      try model.stacked(cms: json, pretrained: pretrained, seed: seed)
    }
    try about(output, writing: true) { try stacked.save(to: output) }
    try report(stacked, output, from: self.model, console)
  }

  private func description() throws -> JSON? {
    if let levels { return ["levels": .array(levels.values.map { ["chunk": .integer($0)] })] }
    guard let cms else { return nil }
    let isText = cms.drop { $0 == " " || $0 == "\n" }.hasPrefix("{")
    let text = isText ? Array(cms.utf8) : try Input.all(of: [cms])
    return try Document(text: text, of: isText ? "--cms" : cms).json
  }
}

private func report(_ model: Model, _ output: String, from source: String, _ console: Console) throws {
  let info = try model.info
  try console.note(
    [
      "event": "saved", "model": .string(output), "from": .string(source), "parameters": .integer(info.parameters),
      "vocab": .integer(info.vocab), "n_levels": .integer(info.levels),
    ],
    "\(output): \(grouped(info.parameters)) parameters from \(source)")
}
