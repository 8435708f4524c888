import Glibc
import NestedBase
import NestedTensor

// What mixes tokens besides the scan: attention, rotary positions, linear memories. n is the length.

extension OpRow {
  static let sequences: [OpRow] = [
    attention("attention", heads: 2, kvHeads: 2, d: 4, window: 0),
    attention("attention, grouped heads, window", heads: 4, kvHeads: 2, d: 16, window: 5),
    attention("attention, persistent keys", heads: 4, kvHeads: 2, d: 6, window: 3, persistent: 5),
    attention("attention, two keys per query", heads: 4, kvHeads: 2, d: 6, window: 0, persistent: 2, keysPerQuery: 2),
    rotary, linearMemory("linearMemory", delta: false), linearMemory("linearMemory with the delta rule", delta: true),
    decayGate, sigmoidGate,
  ]
    + NeuralMemoryRows.all

  private static func attention(
    _ name: String, heads: Int, kvHeads: Int, d: Int, window: Int, persistent: Int = 0,
    keysPerQuery f: Int = 1
  ) -> OpRow {
    let extra = [[Int]](repeating: [persistent, kvHeads * d], count: persistent > 0 ? 2 : 0)
    return OpRow(
      name: name, shapes: { n in [[2 * n, heads * d], [2 * n * f, kvHeads * d], [2 * n * f, kvHeads * d]] + extra },
      apply: { engine, x, _ in
        try engine.attention(
          x[0], x[1], x[2], heads: heads, kvHeads: kvHeads, batch: 2, window: window,
          persistent: persistent > 0 ? PersistentKeys(k: x[3], v: x[4]) : nil, keysPerQuery: f)
      },
      oracle: { x, n in
        var o = [Double](repeating: 0, count: 2 * n * heads * d)
        for row in 0..<2 {
          for t in 0..<n {
            for head in 0..<heads {
              func at(_ t: Int, _ head: Int, _ heads: Int, of n: Int) -> Int { ((row * n + t) * heads + head) * d }
              let shared = head / (heads / kvHeads)
              let first = window > 0 ? max(0, t - window + 1) : 0
              // Of each key: the inputs for it and its value, and where it stands in them.
              var keys = (first * f..<(t + 1) * f).map { (k: 1, v: 2, at: at($0, shared, kvHeads, of: n * f)) }
              for j in 0..<persistent { keys.append((k: 3, v: 4, at: (j * kvHeads + shared) * d)) }
              let query = at(t, head, heads, of: n)
              let scores = keys.map { key in
                (0..<d).reduce(0.0) { $0 + x[0][query + $1] * x[key.k][key.at + $1] } / Double(d).squareRoot()
              }
              let top = scores.max()!
              let weights = scores.map { exp($0 - top) }
              let sum = weights.reduce(0, +)
              for (i, key) in keys.enumerated() {
                for c in 0..<d { o[query + c] += weights[i] / sum * x[key.v][key.at + c] }
              }
            }
          }
        }
        return o
      }, sizes: [1, 7, 70], large: 140)
  }

  private static let frequencies = [0.3, 0.05, 1.0]

  private static let rotary = OpRow(
    name: "rotary", shapes: { n in [[2 * n, 12]] },
    apply: { engine, x, _ in
      try engine.rotary(x[0], heads: 2, batch: 2, position: 5, frequencies: frequencies)
    },
    oracle: { x, n in
      var y = x[0]
      for i in 0..<2 * n {
        for head in 0..<2 {
          for c in 0..<3 {
            let angle = Double(5 + i % n) * frequencies[c], at = (i * 2 + head) * 6 + c
            y[at] = x[0][at] * cos(angle) - x[0][at + 3] * sin(angle)
            y[at + 3] = x[0][at + 3] * cos(angle) + x[0][at] * sin(angle)
          }
        }
      }
      return y
    }, large: 3000)

  /// d = 5, e = 7; gates are squeezed into (0, 1) on the way in.
  private static func linearMemory(_ name: String, delta: Bool) -> OpRow {
    OpRow(
      name: name,
      shapes: { n in [[2 * n, 10], [2 * n, 10], [2 * n, 14], [2 * n, 2]] + (delta ? [[2 * n, 2]] : []) },
      apply: { engine, x, _ in
        try engine.linearMemory(
          q: x[0], k: x[1], v: x[2], alpha: try engine.sigmoid(x[3]),
          beta: delta ? try engine.scale(try engine.sigmoid(x[4]), 0.2) : nil, heads: 2, batch: 2)
      },
      oracle: { x, n in
        func sigmoid(_ x: Double) -> Double { 1 / (1 + exp(-x)) }
        var o = [Double](repeating: 0, count: 2 * n * 14)
        for row in 0..<2 {
          for head in 0..<2 {
            var S = [[Double]](repeating: [Double](repeating: 0, count: 7), count: 5)
            for t in row * n..<(row + 1) * n {
              let q = (0..<5).map { x[0][t * 10 + head * 5 + $0] }, k = (0..<5).map { x[1][t * 10 + head * 5 + $0] }
              let alpha = sigmoid(x[3][t * 2 + head])
              for c in 0..<7 {
                var u = x[2][t * 14 + head * 7 + c]
                if delta {
                  let read = (0..<5).reduce(0.0) { $0 + k[$1] * S[$1][c] }
                  u = 0.2 * sigmoid(x[4][t * 2 + head]) * (u - alpha * read)
                }
                for r in 0..<5 { S[r][c] = alpha * S[r][c] + k[r] * u }
                o[t * 14 + head * 7 + c] = (0..<5).reduce(0.0) { $0 + q[$1] * S[$1][c] }
              }
            }
          }
        }
        return o
      }, sizes: [1, 7, 33], large: 150)
  }

  private static let decayGate = OpRow(
    name: "decayGate", shapes: { n in [[n, 3], [3], [3]] },
    apply: { engine, x, _ in try engine.decayGate(x[0], rate: x[1], bias: x[2]) },
    oracle: { x, n in
      (0..<3 * n).map { exp(-exp(x[1][$0 % 3]) * log1p(exp(x[0][$0] + x[2][$0 % 3]))) }
    })

  private static let sigmoidGate = OpRow(
    name: "sigmoidGate", shapes: { n in [[n, 3], [3]] },
    apply: { engine, x, _ in try engine.sigmoidGate(x[0], bias: x[1], maximum: 0.3) },
    oracle: { x, n in (0..<3 * n).map { 0.3 / (1 + exp(-x[0][$0] - x[1][$0 % 3])) } })
}
