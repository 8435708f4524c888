package import NestedBase

/// One memory of the reference: its weights as [N, out, in], N = B H.
private struct ReferenceMemory {
  let member: Int
  var weights: [Tensor]  // [w] or [w2, w1]
  var momenta: [Tensor]
  var start: [Tensor]  // the weights at the chunk's start
}

extension Engine {
  /// `selfModifyingScan` token by token in plain operations: the definition (SPEC 2), its oracle, and the path for second
  /// derivatives. Same arguments; fresh rows only. Slow. `final` receives every memory's last weights.
  package func scanReference(
    _ spec: ScanSpec, u: Tensor, uv: Tensor, q: Tensor, memories: [Tensor], etaBias: Tensor,
    alphaBias: Tensor, batch: Int, truncate: Int = 0, final: ((Int, [Tensor]) -> Void)? = nil
  ) throws(NestedError) -> Tensor {
    let heads = etaBias.count, d = spec.headDim, n = batch * heads
    let length = u.count / (n * d)

    func columns(_ x: Tensor) throws(NestedError) -> Tensor {  // [B T, H d] → [N, T, d]
      let split = try reshape(x, Shape(batch, length, heads, d))
      return try reshape(try permute(split, [0, 2, 1, 3]), Shape(n, length, d))
    }
    func perHead(_ x: Tensor) throws(NestedError) -> Tensor {  // [H, a, b] → [N, a, b]
      let (a, b) = x.shape.rank == 3 ? (x.shape[1], x.shape[2]) : (1, 1)
      let one = try reshape(x, Shape(1, heads, a, b))
      return try reshape(try broadcast(one, Shape(batch, heads, a, b)), Shape(n, a, b))
    }
    let us = try columns(u), uvs = try columns(uv), qs = try columns(q)
    let etaB = try perHead(etaBias), alphaB = try perHead(alphaBias)

    let always = [ScanSpec.k, ScanSpec.v, ScanSpec.eta, ScanSpec.alpha, ScanSpec.mem]
    let members = spec.adaptiveQ ? always + [ScanSpec.q] : always
    let perMemory = spec.isMLP ? 2 : 1
    var all: [ReferenceMemory] = []
    for (i, member) in members.enumerated() {
      var weights: [Tensor] = []
      for part in 0..<perMemory { weights.append(try perHead(memories[i * perMemory + part])) }
      var zeros: [Tensor] = []
      for weight in weights { zeros.append(try full(weight.shape, 0)) }
      all.append(ReferenceMemory(member: member, weights: weights, momenta: zeros, start: weights))
    }
    func index(_ member: Int) -> Int { members.firstIndex(of: member) ?? 0 }

    /// W φ-chain of a memory at given weights, without residual: z [N, d, 1].
    func apply(_ weights: [Tensor], _ z: Tensor) throws(NestedError) -> Tensor {
      if weights.count == 1 { return try matmul(weights[0], z) }
      return try matmul(weights[1], try silu(try matmul(weights[0], z)))
    }
    func normalized(_ x: Tensor) throws(NestedError) -> Tensor {
      let square = try offset(try sum(try multiply(x, x), axis: 1), 1e-6)
      return try multiply(x, try broadcast(try power(square, -0.5), x.shape))
    }

    var outputs: [Tensor] = []
    for t in 0..<length {
      if truncate > 0 && t > 0 && t % truncate == 0 {
        for i in all.indices {
          all[i].weights = all[i].weights.map(\.detached)
          all[i].momenta = all[i].momenta.map(\.detached)
          all[i].start = all[i].start.map(\.detached)
        }
      }
      for i in all.indices {
        let chunk = all[i].member == ScanSpec.mem ? spec.memoryChunk : spec.projectionChunk
        if t % chunk == 0 { all[i].start = all[i].weights }
      }
      func token(_ x: Tensor) throws(NestedError) -> Tensor {
        try reshape(try slice(x, axis: 1, start: t, count: 1), Shape(n, d, 1))
      }
      func generate(_ member: Int, _ input: Tensor) throws(NestedError) -> Tensor {
        try add(input, try apply(all[index(member)].start, input))
      }
      let ut = try token(us)
      let k = try normalized(try generate(ScanSpec.k, ut))
      let rawV = try generate(ScanSpec.v, try token(uvs))
      let v = spec.normalizeValue ? try normalized(rawV) : rawV
      let eta = try scale(
        try sigmoid(try add(try apply(all[index(ScanSpec.eta)].start, ut), etaB)), spec.etaMax)
      var alpha = try sigmoid(try add(try apply(all[index(ScanSpec.alpha)].start, ut), alphaB))
      if !spec.retention { alpha = try full(alpha.shape, 1) }
      var qt = try token(qs)
      if spec.adaptiveQ { qt = try normalized(try generate(ScanSpec.q, qt)) }
      let memory = all[index(ScanSpec.mem)]
      outputs.append(
        try add(qt, try apply(spec.readsToken ? memory.weights : memory.start, qt)))

      for i in all.indices where spec.adapt & all[i].member != 0 {
        let residual = all[i].member != ScanSpec.eta && all[i].member != ScanSpec.alpha
        func value(_ z: Tensor) throws(NestedError) -> Tensor {
          let y = try apply(all[i].start, z)
          return residual ? try add(z, y) : y
        }
        let target = try value(v)
        let e = spec.dot ? try scale(target, -1) : try subtract(try value(k), target)
        var writes: [(z: Tensor, g: Tensor, delta: Bool)] = []
        if spec.isMLP {
          let a = try matmul(all[i].start[0], k)
          let s = try sigmoid(a)
          // φ'(a) = σ (1 + a (1 - σ))
          let slope = try multiply(
            s, try offset(try multiply(a, try offset(try scale(s, -1), 1)), 1))
          let g = try multiply(slope, try matmul(all[i].start[1], e, transA: true))
          writes = [(k, g, spec.delta), (try silu(a), e, spec.outerDelta)]
        } else {
          writes = [(k, e, spec.delta)]
        }
        for (part, write) in writes.enumerated() {
          let w = all[i].weights[part]
          var step = try matmul(write.g, write.z, transB: true)
          if spec.momentum != 0 {
            step = try add(try scale(all[i].momenta[part], spec.momentum), step)
            all[i].momenta[part] = step
          }
          if write.delta {
            step = try add(step, try matmul(try matmul(w, write.z), write.z, transB: true))
          }
          let kept = try multiply(w, try broadcast(alpha, w.shape))
          all[i].weights[part] = try subtract(kept, try multiply(step, try broadcast(eta, w.shape)))
        }
      }
    }
    if let final { for memory in all { final(memory.member, memory.weights) } }
    let joined = try concatenate(outputs, axis: 2)  // [N, d, T]
    let split = try reshape(joined, Shape(batch, heads, d, length))
    return try reshape(try permute(split, [0, 3, 1, 2]), Shape(batch * length, heads * d))
  }
}
