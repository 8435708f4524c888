import NestedBase
import NestedLearning
import NestedModels
import NestedTensor

/// `cms.meta` "exact": the gradient of a row's loss through the steps its levels made on it.
///
/// θʲ are the levels in segment j, g_j(θʲ, everything before it) the gradient a session takes of that segment's loss L_j.
/// Back from the last segment, a = dL/dθʲ⁺¹ reaches θʲ unchanged, and g_j by the step's pullback, -η times the optimizer's
/// and the clip's: b. What is left is d⟨g_j, b⟩ with b constant, and ⟨g_j, b⟩ is the derivative of L_j along b:
///
///     ⟨g_j, b⟩ = d/dε L_j(θʲ + ε b) ≈ Σ_k c_k L_j(θʲ + k h b) / h        k = ±1, ±2    c = ±2/3, ∓1/12
///
/// so its gradient, by all weights and all earlier levels, is four ordinary ones with these seeds. The row is read
/// from its start, as a segment's state depends on what was learnt before it; only segment j has the levels moved. That
/// is the whole derivative of what a session computes, to the accuracy of the quotient: h⁴ against float32's rounding
/// over h. h‖b‖ = `stepSize` ‖θ‖: of 0.02, 0.004 and 0.001 the last was within 3e-4 on every model of the tests. A row of n
/// segments costs 2 (n - 1) n segments, forward and backward, more.
extension AdaptedLevels {
  static let stepSize = 0.001
  private static let nodes: [(at: Double, weight: Double)] = [
    (1, 2 / 3.0), (-1, -2 / 3.0), (2, -1 / 12.0), (-2, 1 / 12.0),
  ]

  /// gradient += what the loss depends on through the steps. The stretches' own gradients are those of the row's loss.
  func addThroughSteps(
    _ engine: Engine, tokens: Tokens, into gradient: Floats, control: RunControl
  ) throws(NestedError) {
    var pullback = StepPullback(table)
    for j in stretches.indices.dropLast().reversed() {
      let end = stretches[j].rows.upperBound
      for (index, slot) in table.slots.enumerated() where table.clock.isDue(slot.level, at: end) {
        if let parent = table.parent(of: index), table.clock.isDue(table.slots[parent].level, at: end) {
          pullback.restart(index)
          continue
        }
        guard let step = steps[j][index], let after = stretches[j + 1].adjoints[index] else {
          pullback.skip(index)
          continue
        }
        try pullback.step(index, step, after, engine)
        let before = stretches[j].adjoints[index]?.floats ?? gradient + slot.offset
        engine.kernels.axpy(before, after.floats, 1, slot.count)
      }
      let size = stepLength(engine, j, pullback.directions)
      guard size != 0 else { continue }
      for node in AdaptedLevels.nodes {
        try control.report("train", 0, 1, .nan)
        try addSegment(
          engine, j, tokens, shift: node.at * size, along: pullback.directions, seed: node.weight / size,
          into: gradient)
      }
    }
  }

  /// h for segment j: ‖h b‖ is `stepSize` of the size of the levels that b moves; 0 if there is none.
  private func stepLength(_ engine: Engine, _ j: Int, _ directions: [Storage?]) -> Double {
    var (size, length) = (0.0, 0.0)
    for (index, direction) in directions.enumerated() {
      guard let direction else { continue }
      let slot = table.slots[index]
      length += engine.kernels.sumOfSquares(direction.floats, slot.count)
      model.withWeights { (w: Floats) in
        size += engine.kernels.sumOfSquares(
          stretches[j].levels[index]?.floats ?? w + slot.offset, slot.count)
      }
    }
    return length == 0 ? 0 : AdaptedLevels.stepSize * (size / length).squareRoot()
  }

  /// gradient += seed · the gradient of segment j's loss where its levels are moved by shift · along.
  private func addSegment(
    _ engine: Engine, _ j: Int, _ tokens: Tokens, shift: Double, along directions: [Storage?], seed: Double,
    into gradient: Floats
  ) throws(NestedError) {
    try model.withWeights { (_: Floats) throws(NestedError) in
      let tape = Tape()
      engine.tape = tape
      defer { engine.tape = nil }
      let parameters = model.storageParameters().variables(tape, model.layout, addingTo: gradient)
      var spans = variables(tape, parameters, addingTo: gradient, count: j + 1)
      var moved = spans[j].parameters
      for (index, slot) in table.slots.enumerated() {
        guard let direction = directions[index] else { continue }
        for i in slot.entries {
          let entry = model.layout.entries[i]
          let at = entry.offset - slot.offset
          let tensor = try engine.empty(Shape(entry.shape))
          tensor.floats.copy(from: moved[i].floats, count: entry.count)
          engine.kernels.axpy(tensor.floats, direction.floats + at, Float(shift), entry.count)
          moved[i] = tape.variable(
            tensor,
            addingTo: stretches[j].adjoints[index].map { $0.floats + at } ?? gradient + entry.offset)
        }
      }
      let rows = stretches[j].rows
      spans[j] = LevelSpan(rows: rows, parameters: moved)
      let logits = try model.network.logits(
        engine, parameters, tokens: tokens, batch: 1, length: rows.upperBound, spans: spans)
      let targets = (0..<rows.upperBound).map { $0 < rows.lowerBound ? -1 : tokens[$0 + 1] }
      try unsafe targets.withUnsafeBufferPointer { (buffer) throws(NestedError) in
        guard let base = buffer.baseAddress else { return }
        let loss = try engine.crossEntropy(logits, unsafe Tokens(base)).loss
        try tape.backward(engine, from: loss, seed: try engine.full(Shape(1), Float(seed)))
      }
    }
  }
}

/// From the gradient by a level after its steps to that by what it summed up, going back over them.
private struct StepPullback {
  private let table: LevelTable
  /// By slot: dL/d(the gradient of the segment before), b above; nil = 0.
  private(set) var directions: [Storage?]
  /// dL/d(the optimizer's momentum).
  private var momenta: [Storage?]

  init(_ table: LevelTable) {
    self.table = table
    directions = [Storage?](repeating: nil, count: table.slots.count)
    momenta = directions
  }

  /// The sum was dropped.
  mutating func skip(_ index: Int) { directions[index] = nil }

  /// Level and optimizer returned to their initial values.
  mutating func restart(_ index: Int) {
    directions[index] = nil
    momenta[index] = nil
  }

  /// With q = dL/d(clipped sum) and n = ‖p‖ the clip, s(n) p with s = c / (n + 1e-6), gives b = s (q - ⟨p, q⟩ / (n (n + 1e-6)) p).
  mutating func step(
    _ index: Int, _ step: AdaptedLevels.Step, _ after: Storage, _ engine: Engine
  ) throws(NestedError) {
    let slot = table.slots[index]
    let kernels = engine.kernels, count = slot.count
    let rate = Float(slot.learningRate)
    guard rate != 0 else {
      directions[index] = nil
      return
    }
    let b = try engine.memory.take(count)
    b.floats.fill(0, count: count)
    if let optimizer = slot.optimizer as? Momentum {
      // S = μ S + s p;  θ - η S, nesterov: θ - η (s p + μ S)
      let inertia = Float(optimizer.momentum)
      let sum = try engine.memory.take(count)
      sum.floats.fill(0, count: count)
      if let later = momenta[index] { kernels.axpy(sum.floats, later.floats, inertia, count) }
      kernels.axpy(sum.floats, after.floats, optimizer.nesterov ? -rate * inertia : -rate, count)
      kernels.axpy(b.floats, sum.floats, 1, count)
      if optimizer.nesterov { kernels.axpy(b.floats, after.floats, -rate, count) }
      momenta[index] = sum
    } else {
      kernels.axpy(b.floats, after.floats, -rate, count)
    }
    if let p = step.gradient {
      var product = 0.0
      for i in 0..<count { product += Double(p.floats[i]) * Double(b.floats[i]) }
      kernels.axpy(b.floats, p.floats, Float(-product / (step.norm * (step.norm + 1e-6))), count)
      let scale = Float(GradientClip.factor(norm: step.norm, limit: slot.clip))
      for i in 0..<count { b.floats[i] *= scale }
    }
    directions[index] = b
  }
}
