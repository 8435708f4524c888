import NestedBase
import NestedLearning
import NestedModels
import NestedTensor

/// What the levels of one row of outer training are along it, with `cms.meta` (SPEC 3): a session reads the row with learning
/// on, and its levels are kept from step to step.
///
/// First-order: the row is then read once more, as a whole, each stretch with the levels that were in force there. What
/// they receive is the initial levels' gradient; how they came about is not differentiated.
struct AdaptedLevels {
  private let model: Model
  private let table: LevelTable
  private var stretches: [(rows: Range<Int>, levels: [Storage?])] = []

  init(_ model: Model, tokens: Tokens, length: Int, control: RunControl) throws(NestedError) {
    self.model = model
    let session = try Session(model: model, learn: .on, seed: 0)
    table = session.table
    let segment = table.clock.segment
    for start in stride(from: 0, to: length, by: segment) {
      let end = min(start + segment, length)
      // The steps are made before the first token is read; nothing comes after those of the last segment.
      try session.feed(
        tokens: tokens + start, count: end < length ? segment : 1, logits: nil, lastOnly: false,
        control: control)
      let levels = session.state.levels.map(\.online)
      if let last = stretches.last, zip(last.levels, levels).allSatisfy({ $0 === $1 }) {
        stretches[stretches.count - 1].rows = last.rows.lowerBound..<end
      } else {
        stretches.append((start..<end, levels))
      }
    }
  }

  /// The row's weights on the tape: `base`, and for each stretch the levels as they were there. Gradients are added where
  /// the initial levels' are.
  func variables(_ tape: Tape, _ base: Parameters, addingTo gradient: Floats) -> [LevelSpan] {
    var spans: [LevelSpan] = []
    var before = [Storage?](repeating: nil, count: table.slots.count)
    var parameters = base
    for stretch in stretches {
      for (index, slot) in table.slots.enumerated() where stretch.levels[index] !== before[index] {
        for i in slot.entries {
          let entry = model.layout.entries[i]
          parameters[i] =
            stretch.levels[index].map {
              tape.variable(
                Tensor(Shape(entry.shape), $0, offset: entry.offset - slot.offset),
                addingTo: gradient + entry.offset)
            } ?? base[i]
        }
      }
      before = stretch.levels
      spans.append(LevelSpan(rows: stretch.rows, parameters: parameters))
    }
    return spans
  }
}
