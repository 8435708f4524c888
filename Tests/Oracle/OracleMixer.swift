/// Self-modifying Titans of one layer (SPEC 2), token by token.
package struct OracleMixerState: Sendable {
  /// The last three inputs of each convolution, oldest first: name → 3 × [D].
  package var tails: [String: [[Num]]]
  /// memory name → one per head.
  package var memories: [String: [OracleMemory]]

  mutating func makeConstant() {
    for (name, rows) in tails { tails[name] = rows.map { $0.map(\.constant) } }
    makeMemoriesConstant()
  }
  mutating func makeMemoriesConstant() {
    for name in memories.keys {
      for h in memories[name]!.indices { memories[name]![h].makeConstant() }
    }
  }
}

/// What the scan reads for one token and one head; `uq` only with adaptive_q, where `q` is not given.
package struct OracleScanInput: Sendable {
  package var q: [Num]  // [d], already l2-normalised; u_q with adaptive_q
  package var u: [Num]  // [d]
  package var uv: [Num]  // [d]
  package init(q: [Num], u: [Num], uv: [Num]) {
    self.q = q
    self.u = u
    self.uv = uv
  }
}

package struct OracleMixer: Sendable {
  package let options: OracleOptions
  package let norm: [Num]  // [D], the norm before the mixer
  package let projections: [String: Matrix]  // q, u, v, gate, out: [D, D]
  package let convolutions: [String: [Num]]  // q, u, v: [D, 4]
  package let headNorm: [Num]  // [D]
  package let etaBias: [Num]  // [H]
  package let alphaBias: [Num]  // [H]

  init(_ o: OracleOptions, layer: Int, _ parameters: [String: [Num]]) {
    let D = o.width
    let prefix = "blocks.\(layer).mixer"
    options = o
    norm = parameters["\(prefix).norm.weight"]!
    var projections: [String: Matrix] = [:]
    for p in ["q", "u", "v", "gate", "out"] {
      if let w = parameters["\(prefix).\(p).weight"] { projections[p] = Matrix(D, D, w) }
    }
    self.projections = projections
    var convolutions: [String: [Num]] = [:]
    for p in ["q", "u", "v"] {
      if let w = parameters["\(prefix).\(p)_conv.weight"] { convolutions[p] = w }
    }
    self.convolutions = convolutions
    headNorm = parameters["\(prefix).head_norm.weight"]!
    etaBias = parameters["\(prefix).eta_bias"]!
    alphaBias = parameters["\(prefix).alpha_bias"]!
  }

  /// The state before the first token: zero convolution inputs, the learnt initial memories.
  static func initialState(
    _ o: OracleOptions, layer: Int, _ parameters: [String: [Num]]
  ) -> OracleMixerState {
    let zero = [[Num]](repeating: [Num](repeating: Num(0), count: o.width), count: 3)
    var tails = ["q": zero, "u": zero]
    if o.inputProjection == .separate { tails["v"] = zero }
    var memories: [String: [OracleMemory]] = [:]
    for b in o.memoryNames {
      let path = "blocks.\(layer).mixer.memory.\(b)"
      let rows = o.isScalar(b) ? 1 : o.headDim
      memories[b] = (0..<o.heads).map { h in
        func matrix(_ name: String, _ rows: Int, _ cols: Int) -> Matrix {
          let all = parameters["\(path).\(name)"]!
          return Matrix(rows, cols, Array(all[h * rows * cols..<(h + 1) * rows * cols]))
        }
        let weights =
          o.memory == .linear
          ? [matrix("w", rows, o.headDim)]
          : [matrix("w2", o.memoryHidden, o.headDim), matrix("w1", rows, o.memoryHidden)]
        return OracleMemory(
          weights: weights, residual: !o.isScalar(b), written: o.adapt.contains(b))
      }
    }
    return OracleMixerState(tails: tails, memories: memories)
  }

  /// silu(conv4(x)) with the state's tail, which it advances. Tap 3 is the current token.
  private func convolve(
    _ tape: ScalarTape, _ name: String, _ x: [Num], _ state: inout OracleMixerState
  ) -> [Num] {
    let window = state.tails[name]! + [x]
    let taps = convolutions[name]!
    state.tails[name] = Array(window[1...])
    return x.indices.map { c in
      tape.silu(tape.dot((0..<4).map { taps[c * 4 + $0] }, (0..<4).map { window[$0][c] }))
    }
  }

  /// Mixer(n) for one token at `position`; `write` false keeps the memories as they are.
  func step(
    _ tape: ScalarTape, _ n: [Num], position: Int, _ state: inout OracleMixerState, write: Bool
  ) -> [Num] {
    let o = options
    func project(_ name: String) -> [Num] { tape.apply(projections[name]!, n) }
    let uq = convolve(tape, "q", project("q"), &state)
    let u: [Num]
    let uv: [Num]
    switch o.inputProjection {
    case .separate:
      u = convolve(tape, "u", project("u"), &state)
      uv = convolve(tape, "v", project("v"), &state)
    case .shared:
      u = convolve(tape, "u", project("u"), &state)
      uv = u
    case .none:
      u = convolve(tape, "u", n, &state)
      uv = u
    }
    var mixed: [Num] = []
    for h in 0..<o.heads {
      let range = h * o.headDim..<(h + 1) * o.headDim
      let q = Array(uq[range])
      let input = OracleScanInput(
        q: o.adaptiveQ ? q : tape.l2(q), u: Array(u[range]), uv: Array(uv[range]))
      let read = scan(tape, input, head: h, position: position, &state, write: write)
      mixed += tape.rmsNorm(read, Array(headNorm[range]), o.normEps)
    }
    let gate = tape.silu(project("gate"))
    return tape.apply(projections["out"]!, tape.multiply(mixed, gate))
  }

  /// One token of one head through the memories: read, then write. Returns o_t [d].
  package func scan(
    _ tape: ScalarTape, _ x: OracleScanInput, head: Int, position: Int,
    _ state: inout OracleMixerState, write: Bool
  ) -> [Num] {
    let o = options
    let cut = o.truncateBPTT * o.memoryChunk
    for b in o.memoryNames {
      if position % (b == "mem" ? o.memoryChunk : o.projectionChunk) == 0 {
        state.memories[b]![head].beginChunk()
      }
      if cut > 0, position > 0, position % cut == 0 { state.memories[b]![head].makeConstant() }
    }
    func memory(_ b: String) -> OracleMemory { state.memories[b]![head] }

    let k = tape.l2(memory("k").atChunkStart(tape, x.u))
    let rawV = memory("v").atChunkStart(tape, x.uv)
    let v = o.normalizeValue ? tape.l2(rawV) : rawV
    let etaIn = tape.add(memory("eta").atChunkStart(tape, x.u)[0], etaBias[head])
    let eta = tape.scale(tape.sigmoid(etaIn), o.etaMax)
    let alphaIn = tape.add(memory("alpha").atChunkStart(tape, x.u)[0], alphaBias[head])
    let alpha = o.retention ? tape.sigmoid(alphaIn) : Num(1)
    let q = o.adaptiveQ ? tape.l2(memory("q").atChunkStart(tape, x.q)) : x.q

    let read = o.read == .token ? memory("mem").now(tape, q) : memory("mem").atChunkStart(tape, q)
    if write {
      for b in o.memoryNames where memory(b).written {
        let target = memory(b).atChunkStart(tape, v)
        state.memories[b]![head].write(
          tape, k: k, target: target, eta: eta, alpha: alpha, options: o)
      }
    }
    return read
  }
}
