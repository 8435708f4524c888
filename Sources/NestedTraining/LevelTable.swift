import NestedBase
import NestedLearning
import NestedModels
import NestedTensor

/// Where one level of one block stands in the flat parameters, and how it learns online (SPEC 3).
struct LevelSlot: Sendable {
  let layer: Int, level: Int
  let entries: Range<Int>  // indices in the layout
  let offset: Int, count: Int  // floats
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

/// All levels of a model, block by block, fastest first; and the stream's segments.
struct LevelTable: Sendable {
  let slots: [LevelSlot]
  let levels: Int  // K
  let clock: LevelClock
  private let isNested: Bool

  init(_ c: ModelConfiguration, _ layout: ParameterLayout) {
    levels = c.levels.count
    isNested = c.cms.variant == .nested
    clock = LevelClock(periods: c.levels.map(\.chunk), segment: c.segment)
    var slots: [LevelSlot] = []
    for layer in 0..<c.nLayers {
      for (l, level) in c.levels.enumerated() {
        let own = layout.entries.indices.filter {
          layout.entries[$0].layer == layer && layout.entries[$0].level == l
        }
        let first = own.first ?? 0
        let optimizer = OptimizerSettings(level.optimizer).make()
        let start = layout.entries[first].offset
        var inputCount = 0
        let parts = own.map { index in
          let entry = layout.entries[index]
          let inputs = optimizer.readsInputs && entry.inputCount > 0 ? inputCount : -1
          if inputs >= 0 { inputCount += entry.inputCount }
          return (offset: entry.offset - start, count: entry.count, form: entry.form, inputs: inputs)
        }
        slots.append(
          LevelSlot(
            layer: layer, level: l, entries: first..<first + own.count,
            offset: layout.entries[first].offset, count: own.reduce(0) { $0 + layout.entries[$1].count },
            period: level.chunk, learningRate: Double(level.lr), clip: Double(level.clip),
            optimizer: optimizer, parts: parts, inputCount: inputCount,
            scratch: parts.reduce(0) {
              max($0, optimizer.matrixScratch(rows: $1.form.rows, columns: $1.form.columns))
            }))
      }
    }
    self.slots = slots
  }

  /// The slot of the slower neighbour whose ticks send this level back to its initial values (paper eq 72), if any.
  func parent(of index: Int) -> Int? {
    isNested && slots[index].level + 1 < levels ? index + 1 : nil
  }

  /// Whether a segment of backpropagation ends at `position`.
  func isSegmentEnd(_ position: Int) -> Bool { position > 0 && position % clock.segment == 0 }
}
