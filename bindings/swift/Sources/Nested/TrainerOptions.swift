extension Trainer {
  /// How a trainer optimises; ``Library/trainerSchema`` has the ranges.
  public struct Options: Sendable {
    /// The update rule.
    public enum Optimizer: Hashable, Sendable {
      /// Adam with decoupled weight decay.
      case adamW(beta1: Double = 0.9, beta2: Double = 0.95, epsilon: Double = 1e-8)
      /// Gradient descent with a decaying buffer.
      case momentum(Double = 0.9)
      /// Gradient descent.
      case sgd
    }

    /// The factor on the learning rate over the optimizer steps.
    public enum Schedule: Hashable, Sendable {
      /// Always 1.
      case constant
      /// From 0 to 1 over so many steps, then 1.
      case warmup(Int = 100)
      /// From 0 to 1 over `warmup` steps, then along a cosine to `floor` at step `total`.
      case cosine(warmup: Int = 100, total: Int = 1000, floor: Double = 0.1)
    }

    /// Other values for the parameters whose name fits a pattern.
    public struct Group: Hashable, Sendable {
      /// `*` stands for any characters, `?` for one: "blocks.*.cms.*".
      public var pattern: String
      /// `nil` = the trainer's.
      public var learningRate: Double?
      /// `nil` = the trainer's.
      public var weightDecay: Double?

      /// What is `nil` stays the trainer's.
      public init(_ pattern: String, learningRate: Double? = nil, weightDecay: Double? = nil) {
        self.pattern = pattern
        self.learningRate = learningRate
        self.weightDecay = weightDecay
      }
    }

    /// The update rule; AdamW.
    public var optimizer: Optimizer
    /// Base learning rate; 0.003.
    public var learningRate: Double
    /// Decoupled, for parameters of two or more dimensions but embeddings, convolutions and
    /// memories; 0.1.
    public var weightDecay: Double
    /// Bound of the gradient's norm over the parameters that step; 1, and 0 = none.
    public var clip: Double
    /// Batches that `step` and `fit` collect for one optimizer step; 1.
    public var accumulate: Int
    /// Keys the windows of `fit`; below 2^63.
    public var seed: Int
    /// The factor on the learning rate over the steps; a cosine over 1000.
    public var schedule: Schedule
    /// A later group wins.
    public var groups: [Group]

    /// The library's defaults.
    public init(
      optimizer: Optimizer = .adamW(), learningRate: Double = 3e-3, weightDecay: Double = 0.1,
      clip: Double = 1, accumulate: Int = 1, seed: Int = 0, schedule: Schedule = .cosine(),
      groups: [Group] = []
    ) {
      self.optimizer = optimizer
      self.learningRate = learningRate
      self.weightDecay = weightDecay
      self.clip = clip
      self.accumulate = accumulate
      self.seed = seed
      self.schedule = schedule
      self.groups = groups
    }

    /// As the library reads them.
    public var json: JSON {
      let optimizer: [(key: String, value: JSON)] =
        switch self.optimizer {
        case .adamW(let beta1, let beta2, let epsilon):
          [
            ("optimizer", "adamw"), ("betas", [.number(beta1), .number(beta2)]),
            ("eps", .number(epsilon)),
          ]
        case .momentum(let decay): [("optimizer", "momentum"), ("momentum", .number(decay))]
        case .sgd: [("optimizer", "sgd")]
        }
      let schedule: JSON =
        switch self.schedule {
        case .constant: ["type": "constant"]
        case .warmup(let steps): ["type": "warmup", "warmup": .integer(steps)]
        case .cosine(let warmup, let total, let floor):
          [
            "type": "cosine", "warmup": .integer(warmup), "total": .integer(total),
            "floor": .number(floor),
          ]
        }
      return .object(
        optimizer + [
          ("lr", .number(learningRate)), ("weight_decay", .number(weightDecay)),
          ("clip", .number(clip)), ("accumulate", .integer(accumulate)), ("seed", .integer(seed)),
          ("schedule", schedule), ("groups", .array(groups.map(\.json))),
        ])
    }
  }
}

extension Trainer.Options.Group {
  fileprivate var json: JSON {
    var members: [(key: String, value: JSON)] = [("pattern", .string(pattern))]
    if let learningRate { members.append(("lr", .number(learningRate))) }
    if let weightDecay { members.append(("weight_decay", .number(weightDecay))) }
    return .object(members)
  }
}
