import NestedBase
import NestedLearning
import NestedModels
import NestedTensor

// A classifier's head grows when a label appears that it has not seen: new rows of zeros, old rows untouched (SPEC 1). Rows
// between the last one and the new label stay unseen, and out of the softmax, until their label appears.

extension Session {
  func hasNewLabel(_ labels: Labels, _ places: Range<Int>) -> Bool {
    guard case .classes(let values) = labels.values else { return false }
    return places.contains { values[$0] >= 0 && !isSeen(Int(values[$0])) }
  }

  private func isSeen(_ label: Int) -> Bool { label < state.seen.count && state.seen[label] }

  /// All or nothing.
  func admitLabels(_ labels: Labels, _ places: Range<Int>) throws(NestedError) {
    guard case .classes(let values) = labels.values else { return }
    let largest = places.reduce(-1) { max($0, Int(values[$1])) }
    if largest >= state.outputs { try growHead(to: largest + 1) }
    for place in places where values[place] >= 0 { state.seen[Int(values[place])] = true }
  }

  private func growHead(to outputs: Int) throws(NestedError) {
    guard let head = table.head else { return }
    let budget = model.runtime.budget
    let grown = LevelTable(model.configuration, model.layout, outputs: outputs)
    let (old, new) = (table.slots[head], grown.slots[head])
    let level = state.levels[head]
    /// `parts` blocks of the head's size one after the other, each with zeros behind its old rows.
    func extended(_ storage: Storage, parts: Int) throws(NestedError) -> Storage {
      let copy = try Storage(count: parts * new.count, budget: budget)
      for i in 0..<parts {
        (copy.floats + i * new.count).copy(from: storage.floats + i * old.count, count: old.count)
        (copy.floats + (i * new.count + old.count)).fill(0, count: new.count - old.count)
      }
      return copy
    }
    let online: Storage
    if let own = level.online {
      online = try extended(own, parts: 1)
    } else {
      online = try Storage(count: new.count, budget: budget)
      fillFromModel(online.floats, new)
    }
    var pending: Storage? = nil, optimizer: Storage? = nil
    if let own = level.pending { pending = try extended(own, parts: 1) }
    if let own = level.optimizer { optimizer = try extended(own, parts: new.optimizer.slots.count) }
    let output = try Storage(count: outputs, budget: budget)
    output.floats.copy(from: state.output.floats, count: state.outputs)
    (output.floats + state.outputs).fill(Engine.unseenOutput, count: outputs - state.outputs)

    forgetParameters(head)
    state.levels[head].online = online
    state.levels[head].pending = pending
    state.levels[head].optimizer = optimizer
    state.output = output
    state.seen += [Bool](repeating: false, count: outputs - state.outputs)
    state.outputs = outputs
    table = grown
  }
}
