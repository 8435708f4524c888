package import NestedBase

extension Engine {
  /// A self-referential weight matrix per head over whole sequences or a piece of a stream (see
  /// `SelfReferentialPart`): x, y [B T, H d].
  ///
  /// `weights` are the initial blocks for y, q, k [H, d, d] and for the learning rates [H, 4, d]. `state` [H, d, 3 d + 4]
  /// is a stream's (B = 1), changed in place.
  package func selfReferential(
    _ x: Tensor, weights: [Tensor], heads: Int, batch: Int, state: Floats? = nil
  ) throws(NestedError) -> Tensor {
    let width = x.shape.last, d = width / heads, rows = x.count / width / batch
    let n = 3 * d + 4, size = d * n, tasks = batch * heads
    let y = try empty(x.shape)
    let traced = tape != nil && (x.slot >= 0 || weights.contains { $0.slot >= 0 })
    let keptSize = traced ? (rows + kernels.memoryStretch - 1) / kernels.memoryStretch * size : 0
    let kept = try memory.take(tasks * keptSize)
    let scratchSize = kernels.selfReferentialScratch(d)
    let scratch = try memory.take(tasks * scratchSize)
    let fresh = state == nil ? try memory.take(tasks * size) : nil
    if let fresh {
      for row in 0..<batch {
        Self.selfReferentialState(fresh.floats + row * heads * size, weights, heads: heads)
      }
    }
    guard let states = state ?? fresh?.floats else { return y }

    func part(_ task: Int) -> SelfReferentialPart {
      let at = task / heads * rows * width + task % heads * d
      return SelfReferentialPart(d: d, rows: rows, x: x.floats + at, y: y.floats + at, stride: width)
    }
    let work = tasks * rows * size * 3
    multiplyAdds += Double(tasks * rows * size * 3)  // two reads and a write
    parallel(tasks, work: work) { task in
      kernels.selfReferentialForward(
        part(task), states + task * size, traced ? kept.floats + task * keptSize : nil,
        scratch.floats + task * scratchSize)
    }
    guard traced else { return y }
    return record([x] + weights, y) { (engine, dY) throws(NestedError) in
      let dx = try engine.empty(x.shape)
      let dStates = try engine.memory.take(tasks * size)
      let scratch = try engine.memory.take(tasks * scratchSize)
      engine.multiplyAdds += Double(tasks * rows * size * 9)  // those again, and six of gradients
      engine.parallel(tasks, work: work * 3) { task in
        let at = task / heads * rows * width + task % heads * d
        engine.kernels.selfReferentialBackward(
          part(task), dY.floats + at, dx.floats + at, dStates.floats + task * size,
          kept.floats + task * keptSize, scratch.floats + task * scratchSize)
      }
      var result: [Tensor?] = [dx]
      for (block, weight) in weights.enumerated() {
        let dWeight = try engine.full(weight.shape, 0)
        let outputs = weight.shape[1]
        for task in 0..<tasks {
          for o in 0..<outputs {
            for j in 0..<d {
              dWeight.floats[(task % heads * outputs + o) * d + j] +=
                dStates.floats[task * size + j * n + block * d + o]
            }
          }
        }
        result.append(dWeight)
      }
      return result
    }
  }

  /// The state before the first token: the blocks side by side, transposed.
  package static func selfReferentialState(_ state: Floats, _ weights: [Tensor], heads: Int) {
    let d = weights[0].shape[2], n = 3 * d + 4
    for (block, weight) in weights.enumerated() {
      let outputs = weight.shape[1]
      for head in 0..<heads {
        for o in 0..<outputs {
          for j in 0..<d {
            state[(head * d + j) * n + block * d + o] = weight.floats[(head * outputs + o) * d + j]
          }
        }
      }
    }
  }
}
