import NestedBase

/// SPEC 2 for one head, token by token in Double with plain loops: what the scan means.
struct ScanInDouble {
  /// One memory: its weights now and at the start of its chunk, each [outputs][inputs], and its momenta.
  private struct Memory {
    let member: Int
    var weights: [[[Double]]]  // [w], or [w2, w1] of an mlp
    var start: [[[Double]]]
    var momenta: [[[Double]]]

    /// m(z), and with the residual M(z) where the memory has one.
    static func value(_ w: [[[Double]]], _ z: [Double]) -> [Double] {
      if w.count == 1 { return w[0].map { dot($0, z) } }
      let hidden = w[0].map { siluOf(dot($0, z)) }
      return w[1].map { dot($0, hidden) }
    }
    var isResidual: Bool { member != ScanSpec.eta && member != ScanSpec.alpha }
    func atStart(_ z: [Double]) -> [Double] {
      let y = Memory.value(start, z)
      return isResidual ? zip(z, y).map(+) : y
    }
  }

  let spec: ScanSpec
  private var memories: [Memory]

  /// `weights`: per memory of `members`, its matrices.
  init(_ spec: ScanSpec, _ weights: [[[[Double]]]]) {
    self.spec = spec
    memories = zip(ScanInDouble.members(spec), weights).map { member, w in
      Memory(
        member: member, weights: w, start: w,
        momenta: w.map { $0.map { [Double](repeating: 0, count: $0.count) } })
    }
  }

  static func members(_ spec: ScanSpec) -> [Int] {
    [ScanSpec.k, ScanSpec.v, ScanSpec.eta, ScanSpec.alpha, ScanSpec.mem]
      + (spec.adaptiveQ ? [ScanSpec.q] : [])
  }

  private func memory(_ member: Int) -> Memory { memories.first { $0.member == member }! }

  private func l2(_ x: [Double]) -> [Double] {
    let root = (dot(x, x) + Double(Float(1e-6))).squareRoot()
    return x.map { $0 / root }
  }

  /// Token t: reads with q, then writes. Returns o [d].
  mutating func step(
    _ t: Int, u: [Double], uv: [Double], q: [Double], etaBias: Double, alphaBias: Double
  ) -> [Double] {
    for i in memories.indices {
      let chunk = memories[i].member == ScanSpec.mem ? spec.memoryChunk : spec.projectionChunk
      if t % chunk == 0 { memories[i].start = memories[i].weights }
    }
    let k = l2(memory(ScanSpec.k).atStart(u))
    let raw = memory(ScanSpec.v).atStart(uv)
    let v = spec.normalizeValue ? l2(raw) : raw
    let eta = Double(spec.etaMax) * sigmoidOf(memory(ScanSpec.eta).atStart(u)[0] + etaBias)
    let alpha = spec.retention ? sigmoidOf(memory(ScanSpec.alpha).atStart(u)[0] + alphaBias) : 1
    let query = spec.adaptiveQ ? l2(memory(ScanSpec.q).atStart(q)) : q
    let main = memory(ScanSpec.mem)
    let read = Memory.value(spec.readsToken ? main.weights : main.start, query)
    for i in memories.indices where spec.adapt & memories[i].member != 0 {
      write(i, k, v, eta, alpha)
    }
    return zip(query, read).map(+)
  }

  private mutating func write(
    _ i: Int, _ k: [Double], _ v: [Double], _ eta: Double, _ alpha: Double
  ) {
    let memory = memories[i]
    let target = memory.atStart(v)
    let e = spec.dot ? target.map { -$0 } : zip(memory.atStart(k), target).map(-)
    if !spec.isMLP {
      update(i, 0, z: k, g: e, eta, alpha, delta: spec.delta)
      return
    }
    let a = memory.start[0].map { dot($0, k) }
    let h = a.map(siluOf)
    let delta = a.indices.map { j -> Double in
      let s = sigmoidOf(a[j])
      return s * (1 + a[j] * (1 - s)) * e.indices.reduce(0) { $0 + memory.start[1][$1][j] * e[$1] }
    }
    update(i, 0, z: k, g: delta, eta, alpha, delta: spec.delta)
    update(i, 1, z: h, g: e, eta, alpha, delta: spec.outerDelta)
  }

  /// W ← W (α I - η z zᵀ) - η S,  S ← μ S + g zᵀ
  private mutating func update(
    _ i: Int, _ part: Int, z: [Double], g: [Double], _ eta: Double, _ alpha: Double, delta: Bool
  ) {
    for row in g.indices {
      let w = memories[i].weights[part][row]
      let wz = delta ? dot(w, z) : 0
      for column in z.indices {
        let s = Double(spec.momentum) * memories[i].momenta[part][row][column] + g[row] * z[column]
        memories[i].momenta[part][row][column] = s
        memories[i].weights[part][row][column] = alpha * w[column] - eta * (wz * z[column] + s)
      }
    }
  }
}
