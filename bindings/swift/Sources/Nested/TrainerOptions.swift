extension Trainer {
  /// How a trainer optimises; ``Library/trainerSchema`` has the ranges.
  public struct Options: Sendable {
    /// The factor on the learning rate over the optimizer steps.
    public enum Schedule: Hashable, Sendable {
      /// Always 1.
      case constant
      /// From 0 to 1 over so many steps, then 1.
      case warmup(Int = 100)
      /// From 0 to 1 over `warmup` steps, then along a cosine to `floor` at step `total`.
      case cosine(warmup: Int = 100, total: Int = 1000, floor: Double = 0.1)
      /// From 0 to 1 over `warmup` steps, then 1, and over the last `decay` steps before `total`
      /// along a line to `floor`.
      case warmupStableDecay(
        warmup: Int = 100, total: Int = 1000, decay: Int = 200, floor: Double = 0.1)
    }

    /// Other values for the parameters whose name fits a pattern.
    public struct Group: Hashable, Sendable {
      /// `*` stands for any characters, `?` for one: "blocks.*.cms.*".
      public var pattern: String
      /// `nil` = the trainer's.
      public var learningRate: Double?
      /// `nil` = the trainer's.
      public var weightDecay: Double?
      /// Decay of the two moments; `nil` = the trainer's.
      public var betas: Betas?
      /// Added to the root of the second moment; `nil` = the trainer's.
      public var epsilon: Double?
      /// Decay of the buffer; `nil` = the trainer's.
      public var momentum: Double?

      /// Decay of the two moments.
      public struct Betas: Hashable, Sendable {
        /// Of the first.
        public var beta1: Double
        /// Of the second.
        public var beta2: Double

        /// Both in [0, 1).
        public init(_ beta1: Double, _ beta2: Double) {
          self.beta1 = beta1
          self.beta2 = beta2
        }
      }

      /// What is `nil` stays the trainer's.
      public init(
        _ pattern: String, learningRate: Double? = nil, weightDecay: Double? = nil,
        betas: Betas? = nil, epsilon: Double? = nil, momentum: Double? = nil
      ) {
        self.pattern = pattern
        self.learningRate = learningRate
        self.weightDecay = weightDecay
        self.betas = betas
        self.epsilon = epsilon
        self.momentum = momentum
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
      let schedule: JSON =
        switch self.schedule {
        case .constant: ["type": "constant"]
        case .warmup(let steps): ["type": "warmup", "warmup": .integer(steps)]
        case .cosine(let warmup, let total, let floor):
          [
            "type": "cosine", "warmup": .integer(warmup), "total": .integer(total),
            "floor": .number(floor),
          ]
        case .warmupStableDecay(let warmup, let total, let decay, let floor):
          [
            "type": "wsd", "warmup": .integer(warmup), "total": .integer(total),
            "decay": .integer(decay), "floor": .number(floor),
          ]
        }
      return .object(
        optimizer.members + [
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
    if let betas { members.append(("betas", [.number(betas.beta1), .number(betas.beta2)])) }
    if let epsilon { members.append(("eps", .number(epsilon))) }
    if let momentum { members.append(("momentum", .number(momentum))) }
    return .object(members)
  }
}
