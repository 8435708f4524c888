/// One memory of one head (SPEC 2): its weights now, at the start of its chunk, and its momenta.
package struct OracleMemory: Sendable {
  /// k, v, mem and q add their input (`M(z) = z + m(z)`); eta and alpha do not.
  package let residual: Bool
  package let written: Bool
  /// linear: [W [d, d] or [1, d]]; mlp: [W2 [F, d], W1 [d or 1, F]]
  package var weights: [Matrix]
  package var atStart: [Matrix]
  package var momenta: [Matrix]

  package init(weights: [Matrix], residual: Bool, written: Bool) {
    self.weights = weights
    self.atStart = weights
    self.momenta = weights.map { Matrix.zero($0.rows, $0.cols) }
    self.residual = residual
    self.written = written
  }

  package mutating func beginChunk() { atStart = weights }

  package mutating func makeConstant() {
    weights = weights.map(\.constant)
    atStart = atStart.map(\.constant)
    momenta = momenta.map(\.constant)
  }

  private func value(_ tape: ScalarTape, _ w: [Matrix], _ z: [Num]) -> [Num] {
    let m = w.count == 1 ? tape.apply(w[0], z) : tape.apply(w[1], tape.silu(tape.apply(w[0], z)))
    return residual ? tape.add(z, m) : m
  }
  /// M_b(z) at the start of the chunk.
  package func atChunkStart(_ tape: ScalarTape, _ z: [Num]) -> [Num] { value(tape, atStart, z) }
  /// M_b(z) after the last token that was written.
  package func now(_ tape: ScalarTape, _ z: [Num]) -> [Num] { value(tape, weights, z) }

  /// Writes (k, v̂) with step η and retention α: errors at the chunk's start, factors token by token.
  package mutating func write(
    _ tape: ScalarTape, k: [Num], target: [Num], eta: Num, alpha: Num, options o: OracleOptions
  ) {
    let e: [Num]  // ∂objective/∂M(k)
    switch o.objective {
    case .l2: e = tape.subtract(atChunkStart(tape, k), target)
    case .dot: e = tape.negate(target)
    }
    let dgd = o.innerRule == .dgd
    if weights.count == 1 {
      step(tape, 0, z: k, g: e, eta, alpha, o.innerMomentum, decaysAlongInput: dgd)
    } else {
      let pre = tape.apply(atStart[0], k)
      let h = tape.silu(pre)
      let delta = tape.multiply(pre.map(tape.siluSlope), tape.applyTransposed(atStart[1], e))
      step(tape, 0, z: k, g: delta, eta, alpha, o.innerMomentum, decaysAlongInput: dgd)
      step(
        tape, 1, z: h, g: e, eta, alpha, o.innerMomentum,
        decaysAlongInput: dgd && o.outerRule == .dgd)
    }
  }

  /// W ← W (α I - η z zᵀ) - η S with S ← μ S + g zᵀ; without `decaysAlongInput` W ← α W - η S.
  package mutating func step(
    _ tape: ScalarTape, _ i: Int, z: [Num], g: [Num], _ eta: Num, _ alpha: Num, _ mu: Double,
    decaysAlongInput: Bool
  ) {
    momenta[i] = tape.scaleAddOuter(Num(mu), momenta[i], g, z)
    let w = weights[i]
    var r = [Num](repeating: Num(0), count: w.rows)
    if decaysAlongInput {
      r = tape.apply(w, z).map { tape.scale(tape.multiply(eta, $0), -1) }  // -η W z
    }
    weights[i] = tape.subtractScaled(tape.scaleAddOuter(alpha, w, r, z), eta, momenta[i])
  }
}
