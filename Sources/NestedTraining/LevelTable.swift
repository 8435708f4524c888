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
        slots.append(
          LevelSlot(
            layer: layer, level: l, entries: first..<first + own.count,
            offset: layout.entries[first].offset, count: own.reduce(0) { $0 + layout.entries[$1].count },
            period: level.chunk, learningRate: Double(level.lr), clip: Double(level.clip),
            optimizer: settings.make()))
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
