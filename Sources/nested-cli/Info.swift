import ArgumentParser
import Nested

struct Info: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show what a file is, or what a preset costs; without either, the library.",
    discussion: """
      Files are models, trainers, sessions and deltas. A session or delta shows more with its --model: what each level has
      learnt. Of a preset, such as hope-340m: its parameters, the memory of a training step on --batch sequences of --length
      bytes and of a session after --length, and the work for each token.

      EXAMPLES:
        nested-cli info
        nested-cli info book.safetensors --json
        nested-cli info notes.safetensors --model book.safetensors
        nested-cli info hope-340m --length 2048
        nested-cli info --schema
      """)

  @Argument(help: "Files, or names of presets.", completion: .safetensors)
  var files: [String] = []

  @Option(
    help: ArgumentHelp("The model of the sessions.", valueName: "file"), completion: .safetensors)
  var model: String?

  @OptionGroup var cost: Cost

  @Flag(help: "Write the JSON Schema of configurations and end.")
  var schema = false

  @OptionGroup var console: Console

  func run() throws {
    if schema { return try Standard.write(Array((Library.configurationSchema + "\n").utf8)) }
    if files.isEmpty { return try library() }
    let presets = try Cost.presets()
    let context = try Context(threads: 1)
    let model = try model.map { try Model.reading($0, context) }
    for path in files {
      if presets.contains(path) && !exists(path) {
        try write(cost.rows(path))
        continue
      }
      let file = try SavedFile(path)
      switch file.content {
      case "model": try show(file, Self.model(path, context))
      case "trainer": try show(file, Self.trainer(file))
      default: try show(file, Self.session(file, model))
      }
    }
  }

  typealias Row = (key: String, value: JSON, text: String)

  private func library() throws {
    let build = try Document(text: Library.buildInformation.utf8, of: "libnested")
    try console.result(
      build.json,
      ["version", "abi", "simd", "compiler", "blas", "json"].map {
        column($0, "\(build[$0].string ?? "\(build[$0])")")
      }
      .joined(separator: "\n"))
  }

  private func show(_ file: SavedFile, _ rows: [Row]) throws {
    let fingerprint = file.metadata("nested.fingerprint")
    let head: [Row] =
      [
        ("file", .string(file.path), file.path),
        ("content", .string(file.content ?? ""), file.content ?? ""),
        ("version", .integer(Int(file.metadata("nested.version") ?? "") ?? 0), ""),
        ("bytes", .integer(file.bytes), size(file.bytes)),
      ] + (fingerprint.map { [("fingerprint", .string($0), $0)] } ?? [])
    try write(head + rows)
  }

  private func write(_ all: [Row]) throws {
    try console.result(
      .object(all.map { ($0.key, $0.value) }),
      all.filter { !$0.text.isEmpty }.map { column($0.key, $0.text) }.joined(separator: "\n"))
  }

  private func column(_ key: String, _ text: String) -> String {
    key + String(repeating: " ", count: max(1, 14 - key.count))
      + text.split(separator: "\n", omittingEmptySubsequences: false)
      .joined(separator: "\n" + String(repeating: " ", count: 14))
  }

  private static func model(_ path: String, _ context: Context) throws -> [Row] {
    let model = try about(path) { try Model(contentsOf: path, in: context) }
    let info = try model.info
    let config = try Document(text: model.configuration.json.utf8, of: path)
    let levels = config["cms"]["levels"].elements.map { level in
      level["chunk"].integer == 0 ? "fixed" : "every \(level["chunk"]) tokens"
    }
    let fingerprint = String(info.fingerprint, radix: 16)
    return [
      ("fingerprint", .string(fingerprint), fingerprint),
      ("kind", config["kind"].json, config["kind"].string ?? ""),
      ("parameters", .integer(info.parameters), grouped(info.parameters)),
      ("tensors", .integer(info.tensors), grouped(info.tensors)),
      ("vocab", .integer(info.vocab), grouped(info.vocab)),
      ("d_model", .integer(info.dModel), grouped(info.dModel)),
      ("n_layers", .integer(info.layers), grouped(info.layers)),
      ("n_levels", .integer(info.levels), "\(info.levels): " + levels.joined(separator: ", ")),
      ("config", config.json, ""),
    ]
  }

  private static func session(_ file: SavedFile, _ model: Model?) throws -> [Row] {
    let clock = try file.integers("clock")  // position, mode, seed
    var rows: [Row] = []
    if file.content == "session", clock.count == 3,
      let mode = [0: "memory", 1: "off", 2: "on"][clock[1]]
    {
      rows = [
        ("position", .integer(clock[0]), grouped(clock[0])), ("learn", .string(mode), mode),
        ("seed", .integer(clock[2]), "\(UInt64(bitPattern: Int64(clock[2])))"),
      ]
    }
    guard let model else { return rows }
    let session = try Session.reading(file.path, of: model)
    let (info, levels) = try (session.info, session.levels)
    return rows + [
      ("updates", .integer(info.updates), grouped(info.updates)),
      ("skipped_updates", .integer(info.skipped), info.skipped > 0 ? grouped(info.skipped) : ""),
      ("levels", .array(levels.map(json)), levels.map(text).joined(separator: "\n")),
    ]
  }

  private static func json(_ level: Level) -> JSON {
    [
      "layer": .integer(level.layer), "level": .integer(level.level),
      "chunk": .integer(level.chunk),
      "updates": .integer(level.updates), "lr": .finite(level.learningRate),
      "weight_norm": .finite(level.weightNorm), "delta_norm": .finite(level.deltaNorm),
    ]
  }

  private static func text(_ level: Level) -> String {
    let moved = fixed(100 * level.deltaNorm / level.weightNorm, 2)
    return "layer \(level.layer) level \(level.level): "
      + (level.chunk == 0
        ? "fixed"
        : "every \(level.chunk) tokens, \(grouped(level.updates)) updates, moved \(moved) %")
  }

  private static func trainer(_ file: SavedFile) throws -> [Row] {
    let options = try Document(
      text: (file.metadata("nested.trainer.options") ?? "{}").utf8, of: file.path)
    let counters = try file.integers("counters")
    return [
      (
        "steps", counters.first.map(JSON.integer) ?? .null, counters.first.map { grouped($0) } ?? ""
      ),
      (
        "options", options.json,
        "\(options["optimizer"].string ?? ""), lr \(options["lr"]), \(options["schedule"]["type"].string ?? "")"
      ),
    ]
  }
}
