import Glibc

/// Linear memories, one token at a time (SPEC 5.2, paper.md 7.2 and 7.4), S [e, d] as the papers of the delta rule write it.
package struct OracleRetention: OracleStreamMixer {
  private let heads: Int, d: Int, eps: Double
  private let p: [String: [Num]]
  private let width: Int
  private var states: [Matrix]  // per head [2 d, d]

  package init(_ p: [String: [Num]], width: Int, heads: Int, eps: Double = 1e-6) {
    (self.p, self.width, self.heads, self.eps) = (p, width, heads, eps)
    d = width / heads
    states = [Matrix](repeating: .zero(2 * width / heads, width / heads), count: heads)
  }

  package mutating func step(_ tape: ScalarTape, _ n: [Num], position: Int) -> [Num] {
    func project(_ name: String, _ rows: Int) -> [Num] {
      tape.apply(Matrix(rows, width, p["\(name).weight"]!), n)
    }
    let q = tape.rotate(project("q", width), d, position), k = tape.rotate(project("k", width), d, position)
    let v = project("v", 2 * width)
    var o: [Num] = []
    for h in 0..<heads {
      let gamma = 1 - pow(2, -5 - Double(h))
      let key = k[h * d..<(h + 1) * d].map { tape.scale($0, 1 / Double(d).squareRoot()) }
      states[h] = tape.scaleAddOuter(Num(gamma), states[h], Array(v[h * 2 * d..<(h + 1) * 2 * d]), key)
      let read = tape.apply(states[h], Array(q[h * d..<(h + 1) * d]))
      o += tape.rmsNorm(read, Array(p["head_norm.weight"]![h * 2 * d..<(h + 1) * 2 * d]), eps)
    }
    let gated = tape.multiply(o, tape.silu(project("gate", 2 * width)))
    return tape.apply(Matrix(width, 2 * width, p["out.weight"]!), gated)
  }
}

package struct OracleDeltaNet: OracleStreamMixer {
  private let heads: Int, d: Int, eps: Double, width: Int
  private let p: [String: [Num]]
  private var states: [Matrix]  // per head [d, d]
  private var tails: [String: [[Num]]] = [:]  // the last inputs of each convolution

  package init(_ p: [String: [Num]], width: Int, heads: Int, eps: Double = 1e-6) {
    (self.p, self.width, self.heads, self.eps) = (p, width, heads, eps)
    d = width / heads
    states = [Matrix](repeating: .zero(width / heads, width / heads), count: heads)
  }

  package mutating func step(_ tape: ScalarTape, _ n: [Num], position: Int) -> [Num] {
    func project(_ name: String, _ rows: Int) -> [Num] {
      tape.apply(Matrix(rows, width, p["\(name).weight"]!), n)
    }
    func convolved(_ name: String) -> [Num] {
      let x = project(name, width)
      let zeros = [Num](repeating: Num(0), count: width)
      let inputs = (tails[name] ?? [zeros, zeros, zeros]) + [x]
      tails[name] = Array(inputs.suffix(3))
      let w = p["\(name)_conv.weight"]!
      return (0..<width).map { c in
        tape.silu(tape.dot(inputs.map { $0[c] }, Array(w[c * 4..<c * 4 + 4])))
      }
    }
    let q = convolved("q"), k = convolved("k"), v = convolved("v")
    let beta = project("beta", heads).map(tape.sigmoid)
    let gated = p["a_log"] != nil
    let norm = p["head_norm.weight"]!
    var o: [Num] = []
    for h in 0..<heads {
      func head(_ x: [Num]) -> [Num] { Array(x[h * d..<(h + 1) * d]) }
      let key = tape.l2(head(k))
      var alpha = Num(1)
      if gated {
        let z = tape.add(project("a", heads)[h], p["dt_bias"]![h])
        alpha = tape.exponential(tape.scale(tape.multiply(tape.exponential(p["a_log"]![h]), tape.softplus(z)), -1))
      }
      // S ← α S (I - β k kᵀ) + β v kᵀ = α S + β (v - α S k) kᵀ
      let error = tape.subtract(head(v), tape.apply(states[h], key).map { tape.multiply(alpha, $0) })
      states[h] = tape.scaleAddOuter(alpha, states[h], error.map { tape.multiply(beta[h], $0) }, key)
      let query = tape.l2(head(q)).map { tape.scale($0, 1 / Double(d).squareRoot()) }
      let read = tape.apply(states[h], query)
      o += tape.rmsNorm(read, gated ? head(norm) : norm, eps)
    }
    if gated { o = tape.multiply(o, tape.silu(project("gate", width))) }
    return tape.apply(Matrix(width, width, p["out.weight"]!), o)
  }
}

extension ScalarTape {
  package func exponential(_ a: Num) -> Num {
    let y = Glibc.exp(a.value)
    edge(a, y)
    return close(y)
  }
  package func softplus(_ a: Num) -> Num {
    edge(a, logistic(a.value))
    return close(max(a.value, 0) + log1p(Glibc.exp(-abs(a.value))))
  }

  /// Rotary positions (SPEC 5.1): channels i and i + d/2 of each head turn by position · theta^(-2 i / d), scaled.
  package func rotate(
    _ x: [Num], _ d: Int, _ position: Int, theta: Double = 10000, _ scaling: OracleRotaryScaling = .none
  ) -> [Num] {
    var y = x
    for head in 0..<x.count / d {
      for i in 0..<d / 2 {
        let angle = Double(position) * scaling.scaled(pow(theta, -2 * Double(i) / Double(d)))
        let (a, b) = (x[head * d + i], x[head * d + d / 2 + i])
        y[head * d + i] = subtract(scale(a, cos(angle)), scale(b, sin(angle)))
        y[head * d + d / 2 + i] = add(scale(b, cos(angle)), scale(a, sin(angle)))
      }
    }
    return y
  }
}
