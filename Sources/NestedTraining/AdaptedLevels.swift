import NestedBase
import NestedLearning
import NestedModels
import NestedTensor

/// What the levels of one row of outer training are along it, with `cms.meta` (SPEC 3): a session reads the row with learning
/// on, and its levels are kept from step to step.
///
/// The row is then read once more, as a whole, each stretch with the levels that were in force there, and what they
/// receive goes to the initial levels' gradient. First-order: as it is; how they came about is not differentiated. Exact:
/// through the steps that made them (`AdaptedLevels+Exact.swift`).
struct AdaptedLevels {
  /// One step of a level: the norm of its summed gradient, and where that was clipped the sum itself.
  struct Step {
    let norm: Double
    let gradient: Storage?
  }

  /// A part of the row, and by slot the levels in force (nil: the model's) and where their gradients are collected (nil:
  /// with the initial levels').
  struct Stretch {
    var rows: Range<Int>
    let levels: [Storage?]
    let adjoints: [Storage?]
  }

  let model: Model
  let table: LevelTable
  let isExact: Bool
  private(set) var stretches: [Stretch] = []
  /// Exact: by stretch, which are segments then, and slot, the steps at its end.
  private(set) var steps: [[Step?]] = []

  init(_ model: Model, tokens: Tokens, length: Int, control: RunControl) throws(NestedError) {
    self.model = model
    let session = try Session(model: model, learn: .on, seed: 0)
    table = session.table
    isExact = model.configuration.cms.meta == .exact
    let none = [Step?](repeating: nil, count: table.slots.count)
    var made = none
    if isExact {
      let slots = table.slots
      session.willStep = { (index, gradient, norm) throws(NestedError) in
        let isClipped = GradientClip.factor(norm: norm, limit: slots[index].clip) < 1
        made[index] = Step(norm: norm, gradient: isClipped ? try gradient.copy() : nil)
      }
    }
    let segment = table.clock.segment
    for start in stride(from: 0, to: length, by: segment) {
      let end = min(start + segment, length)
      // The steps are made before the first token is read; nothing comes after those of the last segment.
      try session.feed(
        tokens: tokens + start, count: end < length ? segment : 1, logits: nil, lastOnly: false,
        control: control)
      if start > 0 { steps.append(made) }
      made = none
      try append(start..<end, session.state.levels.map(\.online))
    }
  }

  private mutating func append(_ rows: Range<Int>, _ levels: [Storage?]) throws(NestedError) {
    let last = stretches.last
    if !isExact, let last, zip(last.levels, levels).allSatisfy({ $0 === $1 }) {
      stretches[stretches.count - 1].rows = last.rows.lowerBound..<rows.upperBound
      return
    }
    var adjoints = [Storage?](repeating: nil, count: levels.count)
    if isExact {
      for (index, level) in levels.enumerated() {
        guard let level else { continue }
        if let last, level === last.levels[index] {
          adjoints[index] = last.adjoints[index]
        } else {
          let made = try Storage(count: level.count, budget: model.runtime.budget)
          made.floats.fill(0, count: level.count)
          adjoints[index] = made
        }
      }
    }
    stretches.append(Stretch(rows: rows, levels: levels, adjoints: adjoints))
  }

  /// The row's weights on the tape: `base`, and for each of the first `count` stretches the levels as they were there.
  /// Gradients are added where the initial levels' are, or to the stretches' own.
  func variables(
    _ tape: Tape, _ base: Parameters, addingTo gradient: Floats, count: Int? = nil
  ) -> [LevelSpan] {
    var spans: [LevelSpan] = []
    var before = [Storage?](repeating: nil, count: table.slots.count)
    var parameters = base
    for stretch in stretches.prefix(count ?? stretches.count) {
      for (index, slot) in table.slots.enumerated() where stretch.levels[index] !== before[index] {
        for i in slot.entries {
          let entry = model.layout.entries[i]
          let place = stretch.adjoints[index].map { $0.floats + (entry.offset - slot.offset) }
          parameters[i] =
            stretch.levels[index].map {
              tape.variable(
                Tensor(Shape(entry.shape), $0, offset: entry.offset - slot.offset),
                addingTo: place ?? gradient + entry.offset)
            } ?? base[i]
        }
      }
      before = stretch.levels
      spans.append(LevelSpan(rows: stretch.rows, parameters: parameters))
    }
    return spans
  }
}
