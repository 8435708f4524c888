package import NestedBase

extension Engine {
  /// A linear memory per head over whole sequences or a piece of a stream (paper.md 7.2, 7.4); o [B T, H e].
  ///
  ///     u_t = β_t (v_t - α_t S_{t-1}ᵀ k_t)  with `beta`, else v_t;   S_t = α_t S_{t-1} + k_t u_tᵀ;   o_t = S_tᵀ q_t
  ///
  /// q, k [B T, H d], v [B T, H e], alpha and beta [B T, H]. Without a stream every row of the batch begins with S = 0.
  /// `state` [H, d, e] is a stream's (B = 1), changed in place; its first value carries no gradient.
  package func linearMemory(
    q: Tensor, k: Tensor, v: Tensor, alpha: Tensor, beta: Tensor? = nil, heads: Int, batch: Int,
    state: Floats? = nil
  ) throws(NestedError) -> Tensor {
    let d = q.shape.last / heads, e = v.shape.last / heads, rows = q.count / q.shape.last / batch
    let o = try empty(v.shape)
    let tasks = batch * heads
    let traced = records(q, k, v) || records(alpha, beta)
    let keptSize = traced ? (rows + kernels.memoryStretch - 1) / kernels.memoryStretch * d * e : 0
    let kept = try memory.take(tasks * keptSize)
    let scratchSize = kernels.linearMemoryScratch(d, e)
    let scratch = try memory.take(tasks * scratchSize)
    let fresh = state == nil ? try memory.take(tasks * d * e) : nil
    fresh?.floats.fill(0, count: tasks * d * e)
    guard let states = state ?? fresh?.floats else { return o }

    func part(_ task: Int) -> LinearMemoryPart {
      let row = task / heads * rows, head = task % heads
      let keys = row * heads * d + head * d, values = row * heads * e + head * e
      return LinearMemoryPart(
        d: d, e: e, rows: rows, q: q.floats + keys, k: k.floats + keys, keyStride: heads * d,
        v: v.floats + values, o: o.floats + values, valueStride: heads * e,
        alpha: alpha.floats + row * heads + head, beta: beta.map { $0.floats + row * heads + head },
        gateStride: heads)
    }
    let work = tasks * rows * d * e * 4
    // A token: with the delta rule read, then write and read out. Backward repeats that from the kept states.
    let products = tasks * rows * d * e
    multiplyAdds += Double(products * (beta == nil ? 2 : 3))
    parallel(tasks, work: work) { task in
      kernels.linearMemoryForward(
        part(task), states + task * d * e, traced ? kept.floats + task * keptSize : nil,
        scratch.floats + task * scratchSize)
    }
    guard traced else { return o }
    return record([q, k, v, alpha] + (beta.map { [$0] } ?? []), o) { (engine, dO) throws(NestedError) in
      let dq = try engine.empty(q.shape), dk = try engine.empty(k.shape), dv = try engine.empty(v.shape)
      let dAlpha = try engine.empty(alpha.shape), dBeta = try engine.empty(alpha.shape)
      let scratch = try engine.memory.take(tasks * scratchSize)
      engine.multiplyAdds += Double(products * (beta == nil ? 7 : 11))
      engine.parallel(tasks, work: work * 3) { task in
        let row = task / heads * rows, head = task % heads
        let keys = row * heads * d + head * d, values = row * heads * e + head * e
        let gates = row * heads + head
        engine.kernels.linearMemoryBackward(
          part(task),
          LinearMemoryGradients(
            dO: dO.floats + values, dq: dq.floats + keys, dk: dk.floats + keys, dv: dv.floats + values,
            dAlpha: dAlpha.floats + gates, dBeta: beta == nil ? nil : dBeta.floats + gates),
          kept.floats + task * keptSize, scratch.floats + task * scratchSize)
      }
      return [dq, dk, dv, dAlpha] + (beta == nil ? [] : [dBeta])
    }
  }
}
