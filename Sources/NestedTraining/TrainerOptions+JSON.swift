package import NestedBase
import NestedCheckpoint
import NestedLearning

extension TrainerOptions {
  /// Strict, like the configuration: unknown and duplicate keys, wrong types and values out of
  /// range are errors, with the JSON pointer of the place. Empty text gives the defaults.
  package init(json: [UInt8]) throws(NestedError) {
    self.init()
    if !json.isEmpty { try self.init(value: JSONValue.parse(json)) }
  }

  init(value: JSONValue) throws(NestedError) {
    self.init()
    for (key, value) in try Self.members(value, "") {
      let place = JSONPointer.appending(key, to: "")
      switch key {
      case "optimizer":
        optimizer.name = try Self.choice(value, place, of: OptimizerSettings.Name.allCases)
      case "lr": lr = try Self.number(value, place)
      case "betas": (optimizer.beta1, optimizer.beta2) = try Self.pair(value, place)
      case "eps": optimizer.eps = try Self.number(value, place)
      case "weight_decay": weightDecay = try Self.number(value, place)
      case "momentum": optimizer.momentum = try Self.number(value, place)
      case "slow":
        for (key, value) in try Self.members(value, place) {
          let place = JSONPointer.appending(key, to: place)
          switch key {
          case "beta": optimizer.slowBeta = try Self.number(value, place)
          case "weight": optimizer.slowWeight = try Self.number(value, place)
          case "period": optimizer.slowPeriod = try Self.integer(value, place)
          default: throw Self.unknown(place)
          }
        }
      case "clip": clip = try Self.number(value, place)
      case "schedule": schedule = try Self.schedule(value, place)
      case "accumulate": accumulate = try Self.integer(value, place)
      case "seed":
        let number = try Self.integer(value, place)
        guard number >= 0 else { throw Self.wrong(value, place, "a whole number of 0 or more") }
        seed = UInt64(number)
      case "groups": groups = try Self.groups(value, place)
      default: throw Self.unknown(place)
      }
    }
    try validate()
  }

  /// Every key, sorted: what a trainer's file holds.
  package var canonicalJSON: String {
    let schedule = JSONValue.object([
      JSONMember("type", .string(schedule.kind.rawValue)),
      JSONMember("warmup", .int(schedule.warmup)),
      JSONMember("total", .int(schedule.total)), JSONMember("floor", .double(schedule.floor)),
      JSONMember("decay", .int(schedule.decay)),
    ])
    let groups = groups.map { group in
      var members = [JSONMember("pattern", .string(group.pattern))]
      if let lr = group.lr { members.append(JSONMember("lr", .double(lr))) }
      if let decay = group.weightDecay {
        members.append(JSONMember("weight_decay", .double(decay)))
      }
      if let beta1 = group.beta1, let beta2 = group.beta2 {
        members.append(JSONMember("betas", .array([.double(beta1), .double(beta2)])))
      }
      if let eps = group.eps { members.append(JSONMember("eps", .double(eps))) }
      if let momentum = group.momentum { members.append(JSONMember("momentum", .double(momentum))) }
      return JSONValue.object(members)
    }
    let slow = JSONValue.object([
      JSONMember("beta", .double(optimizer.slowBeta)),
      JSONMember("weight", .double(optimizer.slowWeight)),
      JSONMember("period", .int(optimizer.slowPeriod)),
    ])
    return JSONValue.object([
      JSONMember("optimizer", .string(optimizer.name.rawValue)), JSONMember("lr", .double(lr)),
      JSONMember("betas", .array([.double(optimizer.beta1), .double(optimizer.beta2)])),
      JSONMember("eps", .double(optimizer.eps)), JSONMember("weight_decay", .double(weightDecay)),
      JSONMember("momentum", .double(optimizer.momentum)), JSONMember("slow", slow), JSONMember("clip", .double(clip)),
      JSONMember("schedule", schedule), JSONMember("accumulate", .int(accumulate)),
      JSONMember("seed", .int(Int(seed))), JSONMember("groups", .array(groups)),
    ]).serialize(sorted: true)
  }

  private static func schedule(_ value: JSONValue, _ place: String) throws(NestedError) -> Schedule
  {
    var schedule = Schedule()
    for (key, value) in try members(value, place) {
      let place = JSONPointer.appending(key, to: place)
      switch key {
      case "type": schedule.kind = try choice(value, place, of: Schedule.Kind.allCases)
      case "warmup": schedule.warmup = try integer(value, place)
      case "total": schedule.total = try integer(value, place)
      case "floor": schedule.floor = try number(value, place)
      case "decay": schedule.decay = try integer(value, place)
      default: throw unknown(place)
      }
    }
    return schedule
  }

  private static func groups(_ value: JSONValue, _ place: String) throws(NestedError) -> [Group] {
    guard case .array(let items) = value else { throw wrong(value, place, "a list of groups") }
    var groups: [Group] = []
    for (index, item) in items.enumerated() {
      let place = "\(place)/\(index)"
      var group = Group(pattern: "")
      for (key, value) in try members(item, place) {
        let place = JSONPointer.appending(key, to: place)
        switch key {
        case "pattern":
          guard case .string(let text) = value else { throw wrong(value, place, "a name pattern") }
          group.pattern = text
        case "lr": group.lr = try number(value, place)
        case "weight_decay": group.weightDecay = try number(value, place)
        case "betas": (group.beta1, group.beta2) = try pair(value, place)
        case "eps": group.eps = try number(value, place)
        case "momentum": group.momentum = try number(value, place)
        default: throw unknown(place)
        }
      }
      groups.append(group)
    }
    return groups
  }

  private static func members(
    _ value: JSONValue, _ place: String
  ) throws(NestedError) -> [(key: String, value: JSONValue)] {
    guard case .object(let members) = value else { throw wrong(value, place, "an object") }
    return members.map { ($0.key, $0.value) }
  }

  private static func number(_ value: JSONValue, _ place: String) throws(NestedError) -> Double {
    switch value {
    case .int(let number): return Double(number)
    case .double(let number): return number
    default: throw wrong(value, place, "a number")
    }
  }

  private static func pair(
    _ value: JSONValue, _ place: String
  ) throws(NestedError) -> (Double, Double) {
    guard case .array(let items) = value, items.count == 2 else {
      throw wrong(value, place, "two numbers")
    }
    return (try number(items[0], place + "/0"), try number(items[1], place + "/1"))
  }

  private static func integer(_ value: JSONValue, _ place: String) throws(NestedError) -> Int {
    guard case .int(let number) = value else { throw wrong(value, place, "a whole number") }
    return number
  }

  private static func choice<Choice: RawRepresentable>(
    _ value: JSONValue, _ place: String, of choices: [Choice]
  ) throws(NestedError) -> Choice where Choice.RawValue == String {
    if case .string(let text) = value {
      for choice in choices where choice.rawValue.isSameBytes(as: text) { return choice }
    }
    let names = choices.map(\.rawValue).joined(separator: ", ")
    throw wrong(value, place, "one of " + names)
  }

  private static func unknown(_ place: String) -> NestedError {
    NestedError(.config, "[trainer] unknown option", place: place)
  }

  private static func wrong(_ value: JSONValue, _ place: String, _ wanted: String) -> NestedError {
    NestedError(.config, "[trainer] expected \(wanted), got \(value.summary)", place: place)
  }
}
