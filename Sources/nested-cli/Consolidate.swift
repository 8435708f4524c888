import ArgumentParser
import Nested

struct Consolidate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Make a new model of what sessions have learnt.",
    discussion: """
      The new weights are the model's and the weighted mean of what the sessions' levels learnt. \
      Model and sessions stay as they are.

      EXAMPLES:
        nested-cli consolidate book.safetensors notes.safetensors -o new.safetensors
        nested-cli consolidate book.safetensors a.safetensors b.safetensors \\
          -o new.safetensors --weights 2,1 --strength 0.5 --levels 1
      """)

  @Argument(help: "The model.", completion: .safetensors)
  var model: String

  @Argument(
    help: "Sessions of it, whole or deltas.", completion: .safetensors)
  var sessions: [String]

  @Option(
    name: .shortAndLong, help: ArgumentHelp("The new model's file.", valueName: "file"),
    completion: .safetensors)
  var output: String

  @Option(help: ArgumentHelp("Fraction of the change that is taken over.", valueName: "number"))
  var strength = 1.0

  @Option(
    help: ArgumentHelp("Weights of the sessions, as 2,1,1 (default: equal).", valueName: "numbers"))
  var weights: List<Double>?

  @Option(help: ArgumentHelp("Levels that take part, as 0,1 (default: all).", valueName: "numbers"))
  var levels: List<Int>?

  @Option(help: ArgumentHelp("Bound of each tensor's change, 0 = none.", valueName: "number"))
  var maxNorm = 0.0

  @Flag(help: "Overwrite --output.")
  var force = false

  @OptionGroup var threads: Threads
  @OptionGroup var console: Console

  func validate() throws {
    guard weights.map({ $0.values.count == sessions.count }) ?? true else {
      throw ValidationError("--weights has as many numbers as there are sessions.")
    }
    guard levels.map({ $0.values.allSatisfy { (0..<32).contains($0) } }) ?? true else {
      throw ValidationError("--levels are numbers from 0 to 31.")
    }
  }

  func run() throws {
    try checkOutput(output, force: force)
    let model = try Model.reading(model, threads.context())
    let sessions = try sessions.map { try Session.reading($0, of: model) }
    let merged = try model.consolidating(
      sessions, weights: weights?.values, levels: levels?.values, strength: strength,
      maxNorm: maxNorm)
    try about(output, writing: true) { try merged.save(to: output) }
    try console.note(
      ["event": "saved", "model": .string(output), "sessions": .integer(sessions.count)],
      "\(output): \(sessions.count) session\(sessions.count == 1 ? "" : "s") consolidated")
  }
}

/// Numbers with commas between them.
struct List<Element: LosslessStringConvertible & Sendable>: ExpressibleByArgument, Sendable {
  let values: [Element]

  init?(argument: String) {
    let parts = argument.split(separator: ",", omittingEmptySubsequences: false)
    values = parts.compactMap { Element(String($0)) }
    guard values.count == parts.count else { return nil }
  }
}
