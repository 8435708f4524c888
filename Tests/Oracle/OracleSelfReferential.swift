/// Schmidhuber's self-referential weight matrix (paper.md 8), one token at a time; W [3 d + 4, d] per head.
package struct OracleSelfReferential: OracleStreamMixer {
  private let p: [String: [Num]]
  private let heads: Int, d: Int
  private var states: [Matrix]

  package init(_ p: [String: [Num]], width: Int, heads: Int) {
    (self.p, self.heads) = (p, heads)
    let d = width / heads
    self.d = d
    states = (0..<heads).map { h in
      var rows: [Num] = []
      for (name, count) in [("y", d), ("q", d), ("k", d), ("b", 4)] {
        rows += p["memory.\(name).w"]![h * count * d..<(h + 1) * count * d]
      }
      return Matrix(3 * d + 4, d, rows)
    }
  }

  package mutating func step(_ tape: ScalarTape, _ n: [Num], position: Int) -> [Num] {
    var y: [Num] = []
    for h in 0..<heads {
      let out = tape.apply(states[h], tape.softmax(Array(n[h * d..<(h + 1) * d])))
      y += out[..<d]
      let q = tape.softmax(Array(out[d..<2 * d])), k = tape.softmax(Array(out[2 * d..<3 * d]))
      let difference = tape.subtract(tape.apply(states[h], q), tape.apply(states[h], k))
      let step = difference.indices.map { row in
        tape.multiply(tape.sigmoid(out[3 * d + min(row / d, 3)]), difference[row])
      }
      states[h] = tape.scaleAddOuter(Num(1), states[h], step, k)
    }
    return tape.apply(Matrix(heads * d, heads * d, p["out.weight"]!), y)
  }
}
