import NestedBase
import NestedLearning
import NestedModels

/// How the flat parameters are cut for an update: runs of neighbours that are treated alike, a fixed grid of blocks over
/// them, and the matrices that are updated as wholes. The cut depends on the layout and the options only, never on
/// the number of threads, and sums are formed lane by lane: the same bits for 1 thread and for N.
struct UpdatePlan {
  struct Run: Equatable {
    var offset: Int
    var count: Int
    /// Its place among the periods, or -1 for parameters that step on every batch.
    var level: Int
    var lr: Double
    var weightDecay: Double
    /// Where a slow level's collected gradient stands in the pending buffer; -1 when it never has
    /// to wait.
    var pending: Int
    /// Index in `optimizers`.
    var optimizer: Int
    /// Whether `matrices` updates it, and not its blocks.
    var byMatrix: Bool
  }

  struct Block {
    var offset: Int
    var count: Int
    var run: Int
  }

  struct Matrix {
    var offset: Int
    var rows: Int, columns: Int
    var run: Int
    /// Where the sum of its inputs stands, -1 where none is wanted.
    var inputs: Int
    var count: Int { rows * columns }
  }

  /// 16 KiB of floats: weight, gradient and two moments of a block stay in the first caches.
  static let blockSize = 4096
  /// Units of work; lane j does blocks j, j + 32, …, and has its own scratch and partial sums.
  static let lanes = 32
  /// Matrices up to this size are updated several at once, one per lane; larger ones by all threads together.
  static let smallMatrix = 1 << 16
  static let matrixLanes = 8

  let runs: [Run]
  let blocks: [Block]
  /// The small ones first.
  let matrices: [Matrix]
  let smallCount: Int
  /// One for every set of numbers that the groups give it, all of one kind.
  let optimizers: [any Optimizer]
  /// Floats of the pending buffer.
  let pendingCount: Int
  /// Floats of the layers' inputs that stand behind the gradient and behind what is pending; 0 for most optimizers.
  let inputCount: Int
  /// Floats of scratch that a lane of small matrices needs, and all of it.
  let matrixScratch: Int
  let scratchCount: Int

  /// `periods` of the configuration. Throws `config` when a group's pattern names no
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
    var settings = [options.optimizer]
    var optimizers = [options.optimizer.make()]
    var runs: [Run] = []
    var small: [Matrix] = []
    var large: [Matrix] = []
    var pendingCount = 0
    var inputCount = 0
    for entry in layout.entries where entry.count > 0 {
      let own = options.settings(of: entry.name)
      let index = settings.firstIndex(of: own.optimizer) ?? settings.count
      if index == settings.count {
        settings.append(own.optimizer)
        optimizers.append(own.optimizer.make())
      }
      let form = entry.form
      let waits = entry.clock >= 0 && periods[entry.clock] > 0
      let run = Run(
        offset: entry.offset, count: entry.count, level: entry.clock, lr: own.lr,
        weightDecay: entry.decays ? own.weightDecay : 0, pending: waits ? pendingCount : -1,
        optimizer: index, byMatrix: optimizers[index].takesMatrices(form))
      if waits { pendingCount += entry.count }
      if let last = runs.last, last.offset + last.count == run.offset, last.level == run.level,
        last.lr == run.lr, last.weightDecay == run.weightDecay, last.optimizer == run.optimizer,
        last.byMatrix == run.byMatrix
      {
        runs[runs.count - 1].count += run.count
      } else {
        runs.append(run)
      }
      guard run.byMatrix else { continue }
      for i in 0..<form.matrices {
        let matrix = Matrix(
          offset: entry.offset + i * form.rows * form.columns, rows: form.rows,
          columns: form.columns, run: runs.count - 1,
          inputs: optimizers[index].readsInputs && form.hasInputs ? inputCount : -1)
        if matrix.count <= Self.smallMatrix { small.append(matrix) } else { large.append(matrix) }
      }
      if optimizers[index].readsInputs { inputCount += entry.inputCount }
    }
    var blocks: [Block] = []
    for (index, run) in runs.enumerated() {
      for start in stride(from: 0, to: run.count, by: Self.blockSize) {
        blocks.append(
          Block(
            offset: run.offset + start, count: min(Self.blockSize, run.count - start), run: index))
      }
    }
    // Beside what the optimizer asks for: the matrix as it was.
    func scratch(_ matrices: [Matrix]) -> Int {
      matrices.reduce(0) {
        max($0, $1.count + optimizers[0].matrixScratch(rows: $1.rows, columns: $1.columns))
      }
    }
    self.runs = runs
    self.blocks = blocks
    self.optimizers = optimizers
    self.pendingCount = pendingCount
    self.inputCount = inputCount
    matrices = small + large
    smallCount = small.count
    matrixScratch = scratch(small)
    scratchCount = max(matrixScratch * min(Self.matrixLanes, small.count), scratch(large))
  }
}
