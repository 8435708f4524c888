import ArgumentParser
import Nested

/// What a preset costs, counted without making a model.
struct Cost: ParsableArguments {
  @Option(help: ArgumentHelp("Of a preset: sequences of a training step.", valueName: "n"))
  var batch = 1

  @Option(help: ArgumentHelp("Of a preset: tokens of a sequence.", valueName: "n"))
  var length = 512

  func validate() throws {
    if batch < 1 { throw ValidationError("--batch is \(batch); it must be at least 1.") }
    if length < 1 || length > 1 << 20 {
      throw ValidationError("--length is \(length); it must be between 1 and 1048576.")
    }
  }

  static func presets() throws -> [String] {
    let schema = try Document(text: Library.configurationSchema.utf8, of: "the schema")
    return schema["properties"]["preset"]["enum"].elements.compactMap(\.string)
  }

  func rows(_ preset: String) throws -> [Info.Row] {
    let estimate = try about(preset) {
      let config: JSON = ["preset": .string(preset)]
      return try (try? Configuration(config)).map { try $0.estimate(batch: batch, length: length) }
        ?? Configuration(["preset": .string(preset), "vocab": 256]).estimate(batch: batch, length: length)
    }
    let shape = batch == 1 ? "\(grouped(length)) tokens" : "\(grouped(batch)) x \(grouped(length)) tokens"
    func bytes(_ key: String, _ value: Int, _ what: String) -> Info.Row {
      (key, .integer(value), what.isEmpty ? "" : "\(size(value)) \(what)")
    }
    func flops(_ key: String, _ value: Double, _ what: String) -> Info.Row {
      (key, .number(value), "\(engineering(value))FLOP a token, \(what)")
    }
    return [
      ("preset", .string(preset), preset),
      ("batch", .integer(batch), ""), ("length", .integer(length), ""),
      ("parameters", .integer(estimate.parameters), grouped(estimate.parameters)),
      bytes("weights", estimate.weightBytes, "of float32"),
      bytes("training", estimate.trainingBytes, "for a step on \(shape)"),
      bytes("trainer", estimate.trainerBytes, "of it gradients and optimizer state"),
      bytes("activations", estimate.activationBytes, "of it working memory"),
      bytes("session", estimate.sessionBytes, "after \(grouped(length)) tokens, beside the weights"),
      flops("forward", estimate.flopsForward, "at this length"), flops("train", estimate.flopsTrain, "forward and backward"),
    ]
  }

  /// 1.5e9 → "1.5 G".
  private func engineering(_ value: Double) -> String {
    var (value, unit) = (value, "")
    for larger in ["k", "M", "G", "T"] where value >= 1000 { (value, unit) = (value / 1000, larger) }
    return "\(fixed(value, 1)) \(unit)"
  }
}
