import ArgumentParser
import Nested

/// What a trainer can be told, each left out where the user said nothing: then the library's default
/// holds, or with --resume what was saved.
struct OptimizerOptions: ParsableArguments {
  enum Name: String, CaseIterable, ExpressibleByArgument { case adamw, momentum, sgd }
  enum Schedule: String, CaseIterable, ExpressibleByArgument { case cosine, warmup, constant }

  @Option(help: ArgumentHelp("Learning rate (default: 0.003).", valueName: "number"))
  var lr: Double?

  @Option(help: ArgumentHelp("The rule (default: adamw).", valueName: "name"))
  var optimizer: Name?

  @Option(
    help: ArgumentHelp(
      "How the rate moves (default: cosine, to a tenth of --lr at --steps).", valueName: "name"))
  var schedule: Schedule?

  @Option(
    help: ArgumentHelp(
      "Steps until the learning rate is whole (default: a tenth of --steps, at most 100).",
      valueName: "n"))
  var warmup: Int?

  @Option(help: ArgumentHelp("Weight decay (default: 0.1).", valueName: "number"))
  var weightDecay: Double?

  @Option(
    help: ArgumentHelp("Bound of the gradient's norm, 0 = none (default: 1).", valueName: "number"))
  var clip: Double?

  @Option(help: ArgumentHelp("Batches of --batch windows in a step (default: 1).", valueName: "n"))
  var accumulate: Int?

  @Option(
    help: ArgumentHelp("Seed of the weights and of the windows (default: 0).", valueName: "n"))
  var seed: Int?

  func validate() throws {
    guard accumulate.map((1...1 << 20).contains) ?? true else {
      throw ValidationError("--accumulate is from 1 to 1048576.")
    }
    guard seed.map({ $0 >= 0 }) ?? true, warmup.map({ $0 >= 0 }) ?? true else {
      throw ValidationError("--seed and --warmup are 0 or more.")
    }
  }

  /// What was said, as the library's options.
  private var given: [(key: String, value: JSON)] {
    let all: [(String, JSON?)] = [
      ("lr", lr.map(JSON.number)), ("optimizer", optimizer.map { .string($0.rawValue) }),
      ("weight_decay", weightDecay.map(JSON.number)), ("clip", clip.map(JSON.number)),
      ("accumulate", accumulate.map(JSON.integer)), ("seed", seed.map(JSON.integer)),
    ]
    return all.compactMap { key, value in value.map { (key, $0) } }
  }

  private var givenSchedule: [(key: String, value: JSON)] {
    let all: [(String, JSON?)] = [
      ("type", schedule.map { .string($0.rawValue) }), ("warmup", warmup.map(JSON.integer)),
    ]
    return all.compactMap { key, value in value.map { (key, $0) } }
  }

  /// For a new trainer of so many steps.
  func json(steps: Int) -> JSON {
    var schedule = givenSchedule
    if warmup == nil { schedule.append(("warmup", .integer(min(100, steps / 10)))) }
    schedule.append(("total", .integer(steps)))
    return .object(given + [("schedule", .object(schedule))])
  }

  /// Throws where the user said otherwise than the saved trainer.
  func check(saved: Document, _ path: String) throws(Failure) {
    for (object, options) in [(saved, given), (saved["schedule"], givenSchedule)] {
      for (key, value) in options where object[key] != Document(value) {
        throw Failure(
          .usage,
          "\(path) has \(key) \(object[key]), not \(value); leave it out, or begin anew with --from"
        )
      }
    }
  }
}
