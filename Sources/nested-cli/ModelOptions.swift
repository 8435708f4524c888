import ArgumentParser
import Nested

struct Threads: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Threads that compute, 0 = one for each core; results are the same bits for any number.",
      valueName: "n"))
  var threads = 0

  func context() throws -> Context {
    try about("--threads") { try Context(threads: threads) }
  }
}

/// Where a new model comes from.
struct ModelSource: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "A named configuration: hope-0.1m, hope-1m, hope-10m (default: hope-1m).", valueName: "name"),
    completion: .list(["hope-0.1m", "hope-1m", "hope-10m"]))
  var preset: String?

  @Option(
    help: ArgumentHelp(
      "A configuration: JSON, or a file of it. `nested-cli info --schema` lists the keys.",
      valueName: "json"),
    completion: .file(extensions: ["json"]))
  var config: String?

  @Option(
    help: ArgumentHelp(
      "Go on with the weights of this model, under a new optimizer.", valueName: "file"),
    completion: .safetensors)
  var from: String?

  func validate() throws {
    if [preset, config, from].compactMap(\.self).count > 1 {
      throw ValidationError("Give one of --preset, --config and --from.")
    }
  }

  var isConfiguration: Bool { preset != nil || config != nil }

  func configuration() throws -> Configuration {
    guard let config else {
      return try about("--preset") {
        try Configuration(["preset": .string(preset ?? "hope-1m")])
      }
    }
    let isText = config.drop { $0 == " " || $0 == "\n" }.hasPrefix("{")
    let json = isText ? config : String(decoding: try Input.all(of: [config]), as: UTF8.self)
    return try about(isText ? "--config" : config) {
      try Configuration(json: json)
    }
  }

  func model(_ context: Context, seed: UInt64) throws -> Model {
    if let from { return try Model.reading(from, context) }
    let configuration = try configuration()
    return try about("the model") {
      try Model(configuration, seed: seed, in: context)
    }.ofBytes("the configuration")
  }
}

extension Model {
  static func reading(_ path: String, _ context: Context) throws -> Model {
    try about(path) { try Model(contentsOf: path, in: context) }.ofBytes(path)
  }

  /// The tokens of this program are bytes.
  fileprivate func ofBytes(_ subject: String) throws -> Model {
    let (vocab, task) = try (info.vocab, info.task)
    guard task == .languageModel else {
      throw Failure(.data, "\(subject): its task is \(task), and texts have no labels; a program has to teach it")
    }
    guard vocab == 256 else {
      throw Failure(.data, "\(subject): a vocabulary of \(vocab), not of the 256 bytes; a program has to give it token ids")
    }
    return self
  }
}
