import Glibc
package import NestedBase

/// The learning rate over the steps, as a factor on the base rate (SPEC 4): a pure function of
/// them.
///
/// With s = steps already made:
///
///     constant  1
///     warmup    min(1, (s + 1) / warmup)
///     cosine    the same up to s = warmup, then with p = (s - warmup) / (total - warmup)
///               floor + (1 - floor) ½ (1 + cos π p)
///     wsd       the same up to s = warmup, then 1 up to s = total - decay, then
///               1 - (1 - floor) (s - (total - decay)) / decay
///
/// The first step has 1 / warmup and step number `warmup` has 1; at s = total the cosine and the
/// decay of warm-up-stable-decay (`wsd`, Hu et al. 2024; linear) reach their floor and stay there.
package struct Schedule: Equatable, Sendable {
  package enum Kind: String, CaseIterable, Sendable {
    case constant, warmup, cosine, wsd
  }

  package var kind: Kind
  /// Steps until the factor is 1; 0 = none. `constant` does not read it.
  package var warmup: Int
  /// Step at which `cosine` and `wsd` reach their floor.
  package var total: Int
  /// Factor at the end, in [0, 1].
  package var floor: Double
  /// The last steps before `total`, in which `wsd` falls.
  package var decay: Int

  package init(
    kind: Kind = .cosine, warmup: Int = 100, total: Int = 1000, floor: Double = 0.1,
    decay: Int = 200
  ) {
    self.kind = kind
    self.warmup = warmup
    self.total = total
    self.floor = floor
    self.decay = decay
  }

  /// Factor on the base learning rate for the step that follows `steps` steps.
  package func factor(after steps: Int) -> Double {
    if kind == .constant { return 1 }
    if steps < warmup { return Double(steps + 1) / Double(warmup) }
    if kind == .warmup { return 1 }
    if steps >= total { return floor }
    if kind == .wsd {
      let left = total - steps
      return left >= decay ? 1 : floor + (1 - floor) * Double(left) / Double(decay)
    }
    let progress = Double(steps - warmup) / Double(total - warmup)
    return floor + (1 - floor) * 0.5 * (1 + cos(Double.pi * progress))
  }

  /// `place` is the JSON pointer of the schedule, for the errors.
  package func validate(place: String) throws(NestedError) {
    guard warmup >= 0 else {
      throw NestedError(
        .config, "warmup must be 0 or more, got \(warmup)", place: place + "/warmup")
    }
    guard total > 0 else {
      throw NestedError(.config, "total must be 1 or more, got \(total)", place: place + "/total")
    }
    guard floor >= 0 && floor <= 1 else {
      throw NestedError(.config, "floor must lie in [0, 1], got \(floor)", place: place + "/floor")
    }
    guard decay >= 0 else {
      throw NestedError(.config, "decay must be 0 or more, got \(decay)", place: place + "/decay")
    }
  }
}
