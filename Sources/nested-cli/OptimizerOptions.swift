import ArgumentParser
import Nested

/// What a trainer can be told, each left out where the user said nothing: then the library's default
/// holds, or with --resume what was saved.
struct OptimizerOptions: ParsableArguments {
  /// The library's names, in the order of its schema.
  enum Name: String, CaseIterable, ExpressibleByArgument {
    case sgd, momentum, nesterov, adagrad, adam, adamw, muon, dgd
    case deltaMomentum = "delta-momentum"
    case dmgd
    case preconditionedMomentum = "preconditioned-momentum"
    case m3
    case m3Literal = "m3-literal"
  }
  enum Schedule: String, CaseIterable, ExpressibleByArgument { case constant, warmup, cosine, wsd }

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

  @Option(
    help: ArgumentHelp(
      "The last steps, in which the rate of schedule wsd falls (default: a fifth of --steps).",
      valueName: "n"))
  var decay: Int?

  @Option(
    help: ArgumentHelp(
      "Decay of the buffer of momentum and its kin (default: 0.9).", valueName: "number"))
  var momentum: Double?

  @Option(
    help: ArgumentHelp("Steps of the period of m3's slow memory (default: 100).", valueName: "n"))
  var slowPeriod: Int?

  @Option(
    help: ArgumentHelp("Weight of m3's slow memory (default: 1).", valueName: "number"))
  var slowWeight: Double?

  @Option(
    help: ArgumentHelp(
      "Other numbers for some parameters, as in 'blocks.*.cms.*:lr=0.001,weight_decay=0'; may be repeated, a later one wins.",
      valueName: "pattern:key=number"))
  var group: [ParameterGroup] = []

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
    guard [seed, warmup, decay].allSatisfy({ $0 ?? 0 >= 0 }) else {
      throw ValidationError("--seed, --warmup and --decay are 0 or more.")
    }
    guard slowPeriod ?? 1 >= 1 else { throw ValidationError("--slow-period is at least 1.") }
  }

  /// What was said, as the library's options.
  private var given: [(key: String, value: JSON)] {
    let all: [(String, JSON?)] = [
      ("lr", lr.map(JSON.number)), ("optimizer", optimizer.map { .string($0.rawValue) }),
      ("weight_decay", weightDecay.map(JSON.number)), ("clip", clip.map(JSON.number)),
      ("accumulate", accumulate.map(JSON.integer)), ("seed", seed.map(JSON.integer)),
      ("momentum", momentum.map(JSON.number)),
      ("groups", group.isEmpty ? nil : .array(group.map(\.json))),
    ]
    return all.compactMap { key, value in value.map { (key, $0) } }
  }

  private var givenSlow: [(key: String, value: JSON)] {
    let all: [(String, JSON?)] = [
      ("period", slowPeriod.map(JSON.integer)), ("weight", slowWeight.map(JSON.number)),
    ]
    return all.compactMap { key, value in value.map { (key, $0) } }
  }

  private var givenSchedule: [(key: String, value: JSON)] {
    let all: [(String, JSON?)] = [
      ("type", schedule.map { .string($0.rawValue) }), ("warmup", warmup.map(JSON.integer)),
      ("decay", decay.map(JSON.integer)),
    ]
    return all.compactMap { key, value in value.map { (key, $0) } }
  }

  /// For a new trainer of so many steps.
  func json(steps: Int) -> JSON {
    var schedule = givenSchedule
    if warmup == nil { schedule.append(("warmup", .integer(min(100, steps / 10)))) }
    if decay == nil { schedule.append(("decay", .integer(steps / 5))) }
    schedule.append(("total", .integer(steps)))
    return .object(given + [("schedule", .object(schedule)), ("slow", .object(givenSlow))])
  }

  /// Throws where the user said otherwise than the saved trainer.
  func check(saved: Document, _ path: String) throws(Failure) {
    for (object, options) in [
      (saved, given), (saved["schedule"], givenSchedule), (saved["slow"], givenSlow),
    ] {
      for (key, value) in options where object[key] != Document(value) {
        throw Failure(
          .usage,
          "\(path) has \(key) \(object[key]), not \(value); leave it out, or begin anew with --from"
        )
      }
    }
  }
}

/// `pattern:key=number,key=number`.
struct ParameterGroup: ExpressibleByArgument {
  private let pattern: String
  private let numbers: [(key: String, value: Double)]

  init?(argument: String) {
    // Names have no colon, and a pattern may be anything else.
    guard let colon = argument.lastIndex(of: ":"), colon > argument.startIndex else { return nil }
    pattern = String(argument[..<colon])
    var numbers: [(String, Double)] = []
    for part in argument[argument.index(after: colon)...].split(separator: ",") {
      let pair = part.split(separator: "=", maxSplits: 1)
      guard pair.count == 2, let value = Double(pair[1]), value.isFinite else { return nil }
      numbers.append((String(pair[0]), value))
    }
    guard !numbers.isEmpty else { return nil }
    self.numbers = numbers
  }

  /// The library knows which keys there are.
  var json: JSON {
    .object([("pattern", .string(pattern))] + numbers.map { ($0.key, .number($0.value)) })
  }
}
