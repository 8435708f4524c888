import NestedBase
import NestedLearning
import NestedModels
import NestedTensor

/// Where one level of one block stands in the flat parameters, and how it learns online (SPEC 3). The head of a classifier
/// or a regression is one more, behind all blocks: layer L, level 0.
struct LevelSlot: Sendable {
  let layer: Int, level: Int
  let isHead: Bool
  let entries: Range<Int>  // indices in the layout
  let offset: Int, count: Int  // floats; a head has as many rows as the session knows labels
  /// Floats that the model has of it: fewer than `count` once a head has grown.
  let modelCount: Int
  let period: Int  // C_l, 0 = never
  let learningRate: Double
  let clip: Double
  let optimizer: any Optimizer
  /// Its parameters, with their places in the level, and in its inputs if the optimizer reads them (else -1).
  let parts: [(offset: Int, count: Int, form: ParameterForm, inputs: Int)]
  /// Floats of the inputs, which stand behind the level's gradient.
  let inputCount: Int
  /// Floats that the optimizer's matrices need beside the state.
  let scratch: Int

  /// One update of all parameters, at w, state and g [count + inputCount] of the level.
  func update(
    _ w: Floats, _ state: Floats, _ g: Floats, step: UpdateStep, kernels: KernelSet,
    threads: ThreadPool, scratch: Floats
  ) {
    for part in parts {
      if !optimizer.takesMatrices(part.form) {
        optimizer.update(
          w + part.offset, state + part.offset, stride: count, g + part.offset, count: part.count,
          step: step, kernels: kernels)
        continue
      }
      let bench = Workbench(
        kernels: kernels, threads: threads, scratch: scratch,
        inputs: part.inputs >= 0 ? g + (count + part.inputs) : nil)
      let (rows, columns) = (part.form.rows, part.form.columns)
      for i in 0..<part.form.matrices {
        let at = part.offset + i * rows * columns
        optimizer.updateMatrix(
          w + at, state + at, stride: count, g + at, rows: rows, columns: columns, step: step,
          bench: bench)
      }
    }
  }
}

extension LevelSlot {
  /// `rows`: of the head; nil = a level of a block, whose shapes are those of the model.
  init(
    _ layer: Int, _ level: Int, _ entries: Range<Int>, _ layout: ParameterLayout,
    _ settings: LevelConfiguration, rows: Int?
  ) {
    let own = layout.entries[entries]
    let optimizer = OptimizerSettings(settings.optimizer).make()
    let start = own.first?.offset ?? 0
    var inputs = 0
    var parts: [(offset: Int, count: Int, form: ParameterForm, inputs: Int)] = []
    for entry in own {
      let reads = optimizer.readsInputs && entry.inputCount > 0
      var (count, form) = (entry.count, entry.form)
      if let rows {
        form.rows = rows
        count = rows * form.columns
      }
      parts.append((entry.offset - start, count, form, reads ? inputs : -1))
      if reads { inputs += entry.inputCount }
    }
    self.layer = layer
    self.level = level
    isHead = rows != nil
    self.entries = entries
    offset = start
    count = parts.reduce(0) { $0 + $1.count }
    modelCount = own.reduce(0) { $0 + $1.count }
    period = settings.chunk
    learningRate = Double(settings.lr)
    clip = Double(settings.clip)
    self.optimizer = optimizer
    self.parts = parts
    inputCount = inputs
    scratch = parts.reduce(0) { max($0, optimizer.matrixScratch(rows: $1.form.rows, columns: $1.form.columns)) }
  }

  /// The shape that one of its parameters has in a session.
  func shape(of entry: ParameterEntry) -> Shape {
    isHead ? Shape(count / max(1, entry.shape[1]), entry.shape[1]) : Shape(entry.shape)
  }

  /// Whether its period ends in before + 1 ... now.
  func isDue(after before: Int, at now: Int) -> Bool { period > 0 && now / period > before / period }

  /// The first position after `position` at which it is due; -1 = never.
  func nextUpdate(after position: Int) -> Int { period > 0 ? (position / period + 1) * period : -1 }
}

/// All levels of a model, block by block, fastest first, then the head where it is a level; and the stream's segments.
struct LevelTable: Sendable {
  let slots: [LevelSlot]
  /// The head's slot.
  let head: Int?
  let levels: Int  // K
  let clock: LevelClock
  private let isNested: Bool

  /// `outputs`: rows of the head in a session.
  init(_ c: ModelConfiguration, _ layout: ParameterLayout, outputs: Int) {
    levels = c.levels.count
    isNested = c.cms.variant == .nested
    clock = LevelClock(periods: c.levels.map(\.chunk), segment: c.segment)
    // A level's entries stand side by side.
    var entries = [Range<Int>](repeating: 0..<0, count: c.blockCount * levels)
    for (i, entry) in layout.entries.enumerated() where entry.level >= 0 && entry.layer < c.blockCount {
      let index = entry.layer * levels + entry.level
      entries[index] = (entries[index].isEmpty ? i : entries[index].lowerBound)..<i + 1
    }
    var slots: [LevelSlot] = []
    for (index, own) in entries.enumerated() {
      let (layer, level) = index.quotientAndRemainder(dividingBy: levels)
      slots.append(LevelSlot(layer, level, own, layout, c.levels[level], rows: nil))
    }
    if c.hasLabels, let index = layout.index(of: "head.weight") {
      let level = LevelConfiguration(
        chunk: c.head.chunk, optimizer: c.head.optimizer, lr: c.head.lr, clip: c.head.clip)
      head = slots.count
      slots.append(LevelSlot(c.blockCount, 0, index..<index + 1, layout, level, rows: outputs))
    } else {
      head = nil
    }
    self.slots = slots
  }

  /// The slot of the slower neighbour whose ticks send this level back to its initial values (paper eq 72), if any.
  func parent(of index: Int) -> Int? {
    isNested && !slots[index].isHead && slots[index].level + 1 < levels ? index + 1 : nil
  }

  /// Whether a segment of backpropagation ends at `position`.
  func isSegmentEnd(_ position: Int) -> Bool { position > 0 && position % clock.segment == 0 }
}
