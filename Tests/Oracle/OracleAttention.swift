import Glibc

/// Causal softmax attention with rotary positions (SPEC 5.1), one token at a time.
package struct OracleAttention: OracleStreamMixer {
  package struct Options: Sendable {
    package var heads = 2, kvHeads = 2, headDim = 8, window = 0
    package var theta = 10000.0
    package var scaling = OracleRotaryScaling.none
    package init(
      heads: Int = 2, kvHeads: Int = 2, headDim: Int = 8, window: Int = 0, theta: Double = 10000,
      scaling: OracleRotaryScaling = .none
    ) {
      (self.heads, self.kvHeads, self.headDim, self.window, self.theta) = (heads, kvHeads, headDim, window, theta)
      self.scaling = scaling
    }
  }

  private let o: Options
  private let q: Matrix, k: Matrix, v: Matrix, out: Matrix?
  private let persistent: (k: [Num], v: [Num])?  // [N, Hkv d]
  private var keys: [[Num]] = [], values: [[Num]] = []  // [T][Hkv d], keys turned

  package init(_ options: Options, _ p: [String: [Num]], width: Int) {
    o = options
    func matrix(_ name: String, _ rows: Int) -> Matrix { Matrix(rows, width, p["\(name).weight"]!) }
    (q, k, v) = (matrix("q", width), matrix("k", o.kvHeads * o.headDim), matrix("v", o.kvHeads * o.headDim))
    out = p["out.weight"].map { Matrix(width, width, $0) }
    persistent = p["persistent_k"].map { ($0, p["persistent_v"]!) }
  }

  package mutating func step(_ tape: ScalarTape, _ n: [Num], position: Int) -> [Num] {
    let mixed = attend(tape, n, position: position)
    return out.map { tape.apply($0, mixed) } ?? mixed
  }

  /// A key and a value of n without a query.
  package mutating func add(_ tape: ScalarTape, _ n: [Num], position: Int) {
    keys.append(tape.rotate(tape.apply(k, n), o.headDim, position, theta: o.theta, o.scaling))
    values.append(tape.apply(v, n))
  }

  /// Forgets all but the persistent keys.
  package mutating func clear() { (keys, values) = ([], []) }

  private mutating func attend(_ tape: ScalarTape, _ n: [Num], position: Int) -> [Num] {
    let d = o.headDim
    let query = tape.rotate(tape.apply(q, n), d, position, theta: o.theta, o.scaling)
    add(tape, n, position: position)
    let first = o.window > 0 ? max(0, keys.count - o.window) : 0
    var mixed: [Num] = []
    for head in 0..<o.heads {
      let own = Array(query[head * d..<(head + 1) * d])
      let shared = head / (o.heads / o.kvHeads) * d
      func rows(_ learnt: [Num]?, _ seen: ArraySlice<[Num]>) -> [[Num]] {
        let kvWidth = o.kvHeads * d, learnt = learnt ?? []
        return stride(from: 0, to: learnt.count, by: kvWidth).map {
          Array(learnt[$0 + shared..<$0 + shared + d])
        } + seen.map { Array($0[shared..<shared + d]) }
      }
      let seenKeys = rows(persistent?.k, keys[first...]), seenValues = rows(persistent?.v, values[first...])
      let weights = tape.softmax(seenKeys.map { tape.scale(tape.dot(own, $0), 1 / Double(d).squareRoot()) })
      for c in 0..<d { mixed.append(tape.dot(weights, seenValues.map { $0[c] })) }
    }
    return mixed
  }
}

extension ScalarTape {
  package func softmax(_ x: [Num]) -> [Num] {
    let top = x.reduce(-Double.infinity) { max($0, $1.value) }
    let sum = x.reduce(0) { $0 + exp($1.value - top) }
    let p = x.map { exp($0.value - top) / sum }
    return x.indices.map { i in
      for j in x.indices { edge(x[j], p[i] * ((i == j ? 1 : 0) - p[j])) }
      return close(p[i])
    }
  }
}
