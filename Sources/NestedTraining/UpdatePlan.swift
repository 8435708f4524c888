import NestedBase
import NestedLearning
import NestedModels

/// How the flat parameters are cut for an update: runs of neighbours that are treated alike, and a
/// fixed grid of blocks over them. The grid depends on the layout and the options only, never on
/// the number of threads, and sums are formed lane by lane: the same bits for 1 thread and for N.
struct UpdatePlan {
  struct Run: Equatable {
    var offset: Int
    var count: Int
    /// CMS level, or -1 for parameters that step on every batch.
    var level: Int
    var lr: Double
    var weightDecay: Double
    /// Where a slow level's collected gradient stands in the pending buffer; -1 when it never has
    /// to wait.
    var pending: Int
  }

  struct Block {
    var offset: Int
    var count: Int
    var run: Int
  }

  /// 16 KiB of floats: weight, gradient and two moments of a block stay in the first caches.
  static let blockSize = 4096
  /// Units of work; lane j does blocks j, j + 32, …, and has its own scratch and partial sums.
  static let lanes = 32

  let runs: [Run]
  let blocks: [Block]
  /// Floats of the pending buffer.
  let pendingCount: Int

  /// `periods` of the CMS levels, fastest first. Throws `config` when a group's pattern names no
  /// parameter.
  init(layout: ParameterLayout, periods: [Int], options: TrainerOptions) throws(NestedError) {
    for (index, group) in options.groups.enumerated() {
      guard layout.entries.contains(where: { TrainerOptions.matches($0.name, group.pattern) })
      else {
        throw NestedError(
          .config, "[trainer] no parameter has a name like \(group.pattern)",
          place: "/groups/\(index)/pattern")
      }
    }
    var runs: [Run] = []
    var pendingCount = 0
    for entry in layout.entries where entry.count > 0 {
      let rates = options.rates(of: entry.name)
      let waits = entry.level >= 0 && periods[entry.level] > 0
      let run = Run(
        offset: entry.offset, count: entry.count, level: entry.level, lr: rates.lr,
        weightDecay: entry.decays ? rates.weightDecay : 0, pending: waits ? pendingCount : -1)
      if waits { pendingCount += entry.count }
      if let last = runs.last, last.offset + last.count == run.offset, last.level == run.level,
        last.lr == run.lr, last.weightDecay == run.weightDecay
      {
        runs[runs.count - 1].count += run.count
      } else {
        runs.append(run)
      }
    }
    var blocks: [Block] = []
    for (index, run) in runs.enumerated() {
      for start in stride(from: 0, to: run.count, by: Self.blockSize) {
        blocks.append(
          Block(
            offset: run.offset + start, count: min(Self.blockSize, run.count - start), run: index))
      }
    }
    self.runs = runs
    self.blocks = blocks
    self.pendingCount = pendingCount
  }
}
