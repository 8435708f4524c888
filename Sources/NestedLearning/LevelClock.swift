/// When the levels of a Continuum Memory System step (SPEC 3): level l has a period C_l in tokens,
/// 0 = never online.
///
/// Both clocks are values: a session or a trainer holds one, saves it, restores it, and nothing
/// else decides when a level moves.

/// The online clock of a stream. i = tokens consumed; at i ≡ 0 mod C_l the gradients of the chunk
/// i-C_l+1..i are complete, and level l steps once with their sum.
package struct LevelClock: Equatable, Sendable {
  /// C_l, fastest first; each a multiple of the one before, zeros last.
  package let periods: [Int]
  /// Tokens of one stretch of backpropagation: min(C_1, `segment`), whatever is frozen.
  package let segment: Int

  package init(periods: [Int], segment: Int) {
    self.periods = periods
    let fastest = periods.first ?? 0
    self.segment = fastest > 0 ? min(fastest, segment) : segment
  }

  /// Whether level `level` is due when `position` tokens have been consumed.
  package func isDue(_ level: Int, at position: Int) -> Bool {
    let period = periods[level]
    return period > 0 && position > 0 && position % period == 0
  }

  /// The first position after `position` at which the level is due; -1 = never.
  package func nextUpdate(_ level: Int, after position: Int) -> Int {
    let period = periods[level]
    return period > 0 ? (position / period + 1) * period : -1
  }

  /// The end of the segment that `position` (consumed tokens) lies in: the first multiple of
  /// `segment` after it.
  package func segmentEnd(after position: Int) -> Int { (position / segment + 1) * segment }
}

/// The outer clock of a trainer. A level counts targets since its last outer step; after the batch
/// that brings the count to C_l or more (C_l = 0: after every batch) it steps with the mean
/// gradient over them and the count returns to 0. Everything that is not a level steps on every
/// batch.
package struct OuterClock: Equatable, Sendable {
  package let periods: [Int]
  /// Targets that level l has seen since its last step. Sums of whole numbers, or of loss weights.
  package var targets: [Double]
  /// Outer steps of level l: Adam's step count.
  package var steps: [Int]

  package init(periods: [Int]) {
    self.periods = periods
    targets = [Double](repeating: 0, count: periods.count)
    steps = [Int](repeating: 0, count: periods.count)
  }

  /// Whether level l would step after a batch of `count` targets.
  package func isDue(_ level: Int, adding count: Double) -> Bool {
    targets[level] + count >= Double(periods[level])
  }

  /// Counts a batch that has been applied: levels that are due step, the others go on collecting.
  package mutating func advance(by count: Double) {
    for level in periods.indices {
      if isDue(level, adding: count) {
        targets[level] = 0
        steps[level] += 1
      } else {
        targets[level] += count
      }
    }
  }
}
