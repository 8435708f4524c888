import NestedBase
import NestedLearning
import NestedModels

/// Where one level of one block stands in the flat parameters, and how it learns online (SPEC 3).
struct LevelSlot: Sendable {
  let layer: Int, level: Int
  let entries: Range<Int>  // indices in the layout
  let offset: Int, count: Int  // floats
  let period: Int  // C_l, 0 = never
  let learningRate: Double
  let clip: Double
  let optimizer: any Optimizer
  /// Its parameters, with their places in the level.
  let parts: [(offset: Int, count: Int, form: ParameterForm)]
  /// Floats that the optimizer's matrices need beside the state.
  let scratch: Int

  /// One update of all parameters, at w, state and g of the level.
  func update(_ w: Floats, _ state: Floats, _ g: Floats, step: UpdateStep, bench: Workbench) {
    for part in parts {
      if !optimizer.takesMatrices(part.form) {
        optimizer.update(
          w + part.offset, state + part.offset, stride: count, g + part.offset, count: part.count,
          step: step, kernels: bench.kernels)
        continue
      }
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
        let settings = OptimizerSettings(
          OptimizerSettings.Name(rawValue: level.optimizer.rawValue) ?? .sgd)
        let optimizer = settings.make()
        let start = layout.entries[first].offset
        let parts = own.map {
          (offset: layout.entries[$0].offset - start, count: layout.entries[$0].count, form: layout.entries[$0].form)
        }
        slots.append(
          LevelSlot(
            layer: layer, level: l, entries: first..<first + own.count,
            offset: layout.entries[first].offset, count: own.reduce(0) { $0 + layout.entries[$1].count },
            period: level.chunk, learningRate: Double(level.lr), clip: Double(level.clip),
            optimizer: optimizer, parts: parts,
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
