import NestedBase
import NestedTensor

// Operations on token ids.

extension OpRow {
  static let tokenRows: [OpRow] = [embedding, masked, squaredError] + [false, true].map(crossEntropy)

  private static let embedding = OpRow(
    name: "embedding", shapes: { n in [[n, n + 2]] },
    apply: { engine, x, n in try engine.embedding(x[0], Fixed.tokens(n + 3, below: n), rows: n + 3)
    },
    oracle: { x, n in
      let tokens = Fixed.tokens(n + 3, below: n)
      return (0..<n + 3).flatMap { r in (0..<n + 2).map { x[0][Int(tokens[r]) * (n + 2) + $0] } }
    },
    reference: { engine, x, n in
      let tokens = Fixed.tokens(n + 3, below: n)
      return try engine.gather(x[0], (0..<n + 3).map { tokens[$0] })
    })

  /// Every third label has been seen, and the first.
  private static let masked = OpRow(
    name: "masked", shapes: { n in [[n + 1, n]] },
    apply: { engine, x, n in try engine.masked(x[0], (0..<n).map { $0 % 3 == 0 }) },
    oracle: { x, n in x[0].indices.map { $0 % n % 3 == 0 ? x[0][$0] : Double(Engine.unseenOutput) } },
    reference: { engine, x, n in
      let seen = (0..<(n + 1) * n).map { $0 % n % 3 == 0 }
      let kept = try engine.multiply(x[0], try engine.tensor(seen.map { $0 ? 1 : 0 }, x[0].shape))
      return try engine.add(kept, try engine.tensor(seen.map { $0 ? 0 : Engine.unseenOutput }, x[0].shape))
    },
    // Beside -1e30 differences have no digits; the reference has the gradient.
    hasOracleGradient: false)

  /// Three outputs; some targets are not known.
  private static let squaredError = OpRow(
    name: "squaredError", shapes: { n in [[n, 3]] },
    apply: { engine, x, n in
      try engine.squaredError(x[0], Fixed.holes(3 * n), weights: Fixed.floats(n)).loss
    },
    oracle: { x, n in
      var sum = 0.0
      for i in 0..<3 * n where !Fixed.holes(3 * n)[i].isNaN {
        let error = x[0][i] - Double(Fixed.holes(3 * n)[i])
        sum += 0.5 * Double(Fixed.floats(n)[i / 3]) * error * error
      }
      return [sum]
    })

  /// Rows of n + 1 logits, the last of which is no target; `full`: with weights and with rows that have no target.
  private static func crossEntropy(full: Bool) -> OpRow {
    let rows = rowCount
    let targets: @Sendable (Int) -> Tokens = { Fixed.tokens(rows($0), below: $0, holes: full) }
    let weight: @Sendable (Int, Int) -> Float = { n, r in
      targets(n)[r] < 0 ? 0 : full ? Fixed.floats(rows(n))[r] : 1
    }
    return OpRow(
      name: full ? "crossEntropy with weights and holes" : "crossEntropy",
      shapes: { n in [[rows(n), n + 1]] },
      apply: { engine, x, n in
        try engine.crossEntropy(x[0], targets(n), weights: full ? Fixed.floats(rows(n)) : nil).loss
      },
      oracle: { x, n in
        var sum = 0.0
        for r in 0..<rows(n) where targets(n)[r] >= 0 {
          let row = x[0][r * (n + 1)..<(r + 1) * (n + 1)]
          let lse = logOf(row.reduce(0) { $0 + expOf($1) })
          sum += Double(weight(n, r)) * (lse - x[0][r * (n + 1) + Int(targets(n)[r])])
        }
        return [sum]
      },
      reference: { engine, x, n in
        var picks = [Float](repeating: 0, count: rows(n) * (n + 1))
        var weights = [Float](repeating: 0, count: rows(n))
        for r in 0..<rows(n) {
          weights[r] = weight(n, r)
          if targets(n)[r] >= 0 { picks[r * (n + 1) + Int(targets(n)[r])] = 1 }
        }
        let lse = try engine.log(try engine.sum(try engine.exp(x[0]), axis: 1))
        let picked = try engine.sum(
          try engine.multiply(x[0], try engine.tensor(picks, x[0].shape)), axis: 1)
        let weighted = try engine.multiply(
          try engine.subtract(lse, picked), try engine.tensor(weights, Shape(rows(n), 1)))
        return try engine.reshape(try engine.sum(weighted, axis: 0), Shape(1))
      })
  }
}
