/// Test-time training layers (paper.md 7.5), one token at a time: W_t itself is formed for every token.
package struct OracleTestTimeTraining: OracleStreamMixer {
  private struct Head {
    var start: [Matrix]  // W_c: w1 (, w2)
    var startBias: [[Num]]
    var sum: [Matrix]  // Σ η ∇ of the mini-batch
    var sumBias: [[Num]]
  }

  private let p: [String: [Num]]
  private let heads: Int, d: Int, width: Int, mlp: Bool
  private var states: [Head]

  package init(_ p: [String: [Num]], width: Int, heads: Int, mlp: Bool) {
    (self.p, self.heads, self.width, self.mlp) = (p, heads, width, mlp)
    let d = width / heads
    self.d = d
    let hidden = mlp ? 4 * d : d
    states = (0..<heads).map { h in
      func part(_ name: String, _ count: Int) -> [Num] { Array(p[name]![h * count..<(h + 1) * count]) }
      var matrices = [Matrix(hidden, d, part("memory.w1", hidden * d))]
      var biases = [part("memory.b1", hidden)]
      if mlp {
        matrices.append(Matrix(d, hidden, part("memory.w2", hidden * d)))
        biases.append(part("memory.b2", d))
      }
      return Head(
        start: matrices, startBias: biases, sum: matrices.map { .zero($0.rows, $0.cols) },
        sumBias: biases.map { $0.map { _ in Num(0) } })
    }
  }

  package mutating func step(_ tape: ScalarTape, _ n: [Num], position: Int) -> [Num] {
    func project(_ name: String, _ rows: Int) -> [Num] {
      tape.apply(Matrix(rows, width, p["\(name).weight"]!), n)
    }
    let place = position % 16
    let q = tape.rotate(project("q", width), d, place), k = tape.rotate(project("k", width), d, place)
    let v = project("v", width), rates = project("lr", heads)
    let open = 1 / Double(place + 1) + p["token_offset"]![place].value > 0
    let scale = open ? tape.add(Num(1 / Double(place + 1)), p["token_offset"]![place]) : Num(0)
    var o: [Num] = []
    for h in 0..<heads {
      func head(_ x: [Num]) -> [Num] { Array(x[h * d..<(h + 1) * d]) }
      let rate = tape.scale(tape.sigmoid(rates[h]), (mlp ? 0.1 : 1) / Double(d))
      let (gamma, beta) = (head(p["memory.norm.weight"]!), head(p["memory.norm.bias"]!))
      var state = states[h]
      // Gradients at W_c.
      let z1 = tape.add(tape.apply(state.start[0], head(k)), state.startBias[0])
      let x2 = tape.gelu(z1)
      let z = mlp ? tape.add(tape.apply(state.start[1], x2), state.startBias[1]) : z1
      var gradient = tape.layerNormGradient(z, gamma, beta, target: tape.subtract(head(v), head(k)))
      if mlp {
        let back = tape.applyTransposed(state.start[1], gradient)
        state.sum[1] = tape.scaleAddOuter(Num(1), state.sum[1], gradient.map { tape.multiply(rate, $0) }, x2)
        state.sumBias[1] = tape.add(state.sumBias[1], gradient.map { tape.multiply(rate, $0) })
        gradient = zip(back, z1).map { tape.multiply($0, tape.geluSlope($1)) }
      }
      state.sum[0] = tape.scaleAddOuter(Num(1), state.sum[0], gradient.map { tape.multiply(rate, $0) }, head(k))
      state.sumBias[0] = tape.add(state.sumBias[0], gradient.map { tape.multiply(rate, $0) })
      // W_t, and its reading of q.
      let now = state.start.indices.map { tape.subtractScaled(state.start[$0], scale, state.sum[$0]) }
      let nowBias = state.start.indices.map { i in
        tape.subtract(state.startBias[i], state.sumBias[i].map { tape.multiply(scale, $0) })
      }
      var y = tape.add(tape.apply(now[0], head(q)), nowBias[0])
      if mlp { y = tape.add(tape.apply(now[1], tape.gelu(y)), nowBias[1]) }
      o += tape.add(head(q), tape.layerNorm(y, gamma, beta))
      if place == 15 {
        state = Head(
          start: now, startBias: nowBias, sum: now.map { .zero($0.rows, $0.cols) },
          sumBias: nowBias.map { $0.map { _ in Num(0) } })
      }
      states[h] = state
    }
    let y = tape.rmsNorm(o, p["post_norm.weight"]!, 1e-6)
    return tape.apply(Matrix(width, width, p["out.weight"]!), y)
  }
}

extension ScalarTape {
  private func mean(_ x: [Num]) -> Num {
    for a in x { edge(a, 1 / Double(x.count)) }
    return close(x.reduce(0) { $0 + $1.value } / Double(x.count))
  }
  /// ẑ and 1 / σ
  private func centred(_ z: [Num]) -> ([Num], Num) {
    let m = mean(z)
    let c = z.map { subtract($0, m) }
    let root = power(add(mean(multiply(c, c)), Num(1e-6)), -0.5)
    return (c.map { multiply($0, root) }, root)
  }
  func layerNorm(_ z: [Num], _ gamma: [Num], _ beta: [Num]) -> [Num] {
    add(multiply(centred(z).0, gamma), beta)
  }
  /// d/dz of ½‖LN(z) - target‖²
  func layerNormGradient(_ z: [Num], _ gamma: [Num], _ beta: [Num], target: [Num]) -> [Num] {
    let (c, root) = centred(z)
    let g = multiply(gamma, subtract(add(multiply(c, gamma), beta), target))
    let (m, along) = (mean(g), mean(multiply(g, c)))
    return g.indices.map { multiply(subtract(subtract(g[$0], m), multiply(c[$0], along)), root) }
  }
}
