package import NestedBase
import NestedCheckpoint
package import NestedLearning

/// What a trainer does with the gradient: SPEC 4's options and defaults, as JSON outside and a
/// value inside.
package struct TrainerOptions: Equatable, Sendable {
  /// Overrides for the parameters whose name matches `pattern` (`*` any characters, `?` one).
  /// Groups apply in order, so a later one wins; each sets only what it names. Parameters that SPEC
  /// 4 exempts from weight decay stay exempt.
  package struct Group: Equatable, Sendable {
    package var pattern: String
    package var lr: Double?
    package var weightDecay: Double?
    package var beta1: Double?
    package var beta2: Double?
    package var eps: Double?
    package var momentum: Double?
  }

  package var optimizer = OptimizerSettings(.adamw, beta1: 0.9, beta2: 0.95)
  package var lr = 3e-3
  package var weightDecay = 0.1
  /// Bound of the gradient's global norm, over the parameters that step; 0 = none.
  package var clip = 1.0
  package var schedule = Schedule()
  /// Batches that `step` and `fit` collect for one optimizer step.
  package var accumulate = 1
  /// Keys the windows that `fit` draws.
  package var seed: UInt64 = 0
  package var groups: [Group] = []

  package init() {}

  /// Learning rate, weight decay and the optimizer's numbers for a parameter, before schedule and exemption.
  package func settings(
    of name: String
  ) -> (lr: Double, weightDecay: Double, optimizer: OptimizerSettings) {
    var own = (lr: lr, weightDecay: weightDecay, optimizer: optimizer)
    for group in groups where Self.matches(name, group.pattern) {
      own.lr = group.lr ?? own.lr
      own.weightDecay = group.weightDecay ?? own.weightDecay
      own.optimizer.beta1 = group.beta1 ?? own.optimizer.beta1
      own.optimizer.beta2 = group.beta2 ?? own.optimizer.beta2
      own.optimizer.eps = group.eps ?? own.optimizer.eps
      own.optimizer.momentum = group.momentum ?? own.optimizer.momentum
    }
    return own
  }

  /// Glob over bytes. After a mismatch only the last star has to give way, which keeps this linear
  /// in practice and free of recursion.
  package static func matches(_ name: String, _ pattern: String) -> Bool {
    let (text, glob) = (Array(name.utf8), Array(pattern.utf8))
    var (i, j) = (0, 0)
    var star = -1
    var resume = 0
    while i < text.count {
      if j < glob.count && (glob[j] == UInt8(ascii: "?") || glob[j] == text[i])
        && glob[j] != UInt8(ascii: "*")
      {
        i += 1
        j += 1
      } else if j < glob.count && glob[j] == UInt8(ascii: "*") {
        star = j
        resume = i
        j += 1
      } else if star >= 0 {
        resume += 1
        i = resume
        j = star + 1
      } else {
        return false
      }
    }
    while j < glob.count && glob[j] == UInt8(ascii: "*") { j += 1 }
    return j == glob.count
  }

  package func validate() throws(NestedError) {
    func require(_ condition: Bool, _ place: String, _ wanted: String) throws(NestedError) {
      guard condition else {
        throw NestedError(.config, "[trainer] expected \(wanted)", place: place)
      }
    }
    try require(lr >= 0 && lr.isFinite, "/lr", "a learning rate of 0 or more")
    try require(Self.isFraction(optimizer.beta1), "/betas/0", "a number in [0, 1)")
    try require(Self.isFraction(optimizer.beta2), "/betas/1", "a number in [0, 1)")
    try require(optimizer.eps > 0 && optimizer.eps.isFinite, "/eps", "a number above 0")
    try require(Self.isFraction(optimizer.slowBeta), "/slow/beta", "a number in [0, 1)")
    try require(
      optimizer.slowWeight >= 0 && optimizer.slowWeight.isFinite, "/slow/weight",
      "a number of 0 or more")
    try require(optimizer.slowPeriod >= 1, "/slow/period", "1 or more steps")
    try require(weightDecay >= 0 && weightDecay.isFinite, "/weight_decay", "a number of 0 or more")
    try require(Self.isFraction(optimizer.momentum), "/momentum", "a number in [0, 1)")
    try require(clip >= 0 && clip.isFinite, "/clip", "a norm of 0 (no clipping) or more")
    try require(accumulate >= 1, "/accumulate", "1 or more batches")
    try schedule.validate(place: "/schedule")
    for (index, group) in groups.enumerated() {
      let place = "/groups/\(index)"
      try require(
        !group.pattern.isEmpty, place + "/pattern", "a name pattern such as blocks.*.cms.*")
      if let lr = group.lr {
        try require(lr >= 0 && lr.isFinite, place + "/lr", "a learning rate of 0 or more")
      }
      if let decay = group.weightDecay {
        try require(decay >= 0 && decay.isFinite, place + "/weight_decay", "a number of 0 or more")
      }
      for (value, key) in [
        (group.beta1, "/betas/0"), (group.beta2, "/betas/1"), (group.momentum, "/momentum"),
      ] {
        if let value { try require(Self.isFraction(value), place + key, "a number in [0, 1)") }
      }
      if let eps = group.eps {
        try require(eps > 0 && eps.isFinite, place + "/eps", "a number above 0")
      }
    }
  }

  private static func isFraction(_ value: Double) -> Bool { value >= 0 && value < 1 }
}
