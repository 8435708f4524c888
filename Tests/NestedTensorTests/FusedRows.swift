import Glibc
import NestedBase
import NestedTensor

// Fused operations: one kernel forward, one backward, and a composition of plain operations that means the same.

extension OpRow {
  static let fused: [OpRow] = [
    linear("linear", kept: false), linear("linear with kept panels", kept: true),
    rmsNorm, gatedHeadNorm, l2Norm, shortConvolution, shortConvolutionWithTail, swiglu, gelu,
    residual, mixture,
  ]

  /// Rows of the norms and losses: at some sizes more than one block of 64.
  static let rowCount: @Sendable (Int) -> Int = { $0 > 100 ? 150 : $0 == 17 ? 130 : 5 }

  private static func linear(_ name: String, kept: Bool) -> OpRow {
    OpRow(
      name: name, shapes: { n in [[2, n, n + 2], [n * 5 + 1, n + 2]] },
      apply: { engine, x, _ in
        var w = x[1]
        if kept { w.packed = try engine.pack(w) }
        return try engine.linear(x[0], w)
      },
      oracle: { x, n in
        matmulInDouble(x[0], x[1], 1, 2 * n, n + 2, n * 5 + 1, transA: false, transB: true)
      },
      reference: { engine, x, n in
        let rows = try engine.reshape(x[0], Shape(1, 2 * n, n + 2))
        let w = try engine.reshape(x[1], Shape(1, n * 5 + 1, n + 2))
        return try engine.reshape(
          try engine.matmul(rows, w, transB: true), Shape(2, n, n * 5 + 1))
      }, large: 129)
  }

  private static let rmsNorm = OpRow(
    name: "rmsNorm", shapes: { n in [[rowCount(n), n], [n]] },
    apply: { engine, x, _ in try engine.rmsNorm(x[0], x[1], eps: 1e-3) },
    oracle: { x, n in
      (0..<rowCount(n)).flatMap { row in
        let values = Array(x[0][row * n..<(row + 1) * n])
        let root = (dot(values, values) / Double(n) + Double(Float(1e-3))).squareRoot()
        return zip(values, x[1]).map { $0 / root * $1 }
      }
    },
    reference: { engine, x, n in
      let mean = try engine.scale(
        try engine.sum(try engine.multiply(x[0], x[0]), axis: 1), 1 / Float(n))
      let inverse = try engine.power(try engine.offset(mean, 1e-3), -0.5)
      let w = try engine.broadcast(try engine.reshape(x[1], Shape(1, n)), x[0].shape)
      return try engine.multiply(
        try engine.multiply(x[0], try engine.broadcast(inverse, x[0].shape)), w)
    }, large: 301)

  private static let gatedHeadNorm = OpRow(
    name: "gatedHeadNorm",
    shapes: { n in [[rowCount(n), 3 * n], [3 * n], [rowCount(n), 3 * n]] },
    apply: { engine, x, _ in try engine.gatedHeadNorm(x[0], x[1], x[2], heads: 3, eps: 1e-3) },
    oracle: { x, n in
      (0..<3 * rowCount(n)).flatMap { part in
        let values = Array(x[0][part * n..<(part + 1) * n])
        let root = (dot(values, values) / Double(n) + Double(Float(1e-3))).squareRoot()
        return (0..<n).map {
          values[$0] / root * x[1][part % 3 * n + $0] * siluOf(x[2][part * n + $0])
        }
      }
    },
    reference: { engine, x, n in
      let o = try engine.reshape(x[0], Shape(3 * rowCount(n), n))
      let mean = try engine.scale(try engine.sum(try engine.multiply(o, o), axis: 1), 1 / Float(n))
      let inverse = try engine.power(try engine.offset(mean, 1e-3), -0.5)
      let normed = try engine.reshape(
        try engine.multiply(o, try engine.broadcast(inverse, o.shape)), x[0].shape)
      let w = try engine.broadcast(try engine.reshape(x[1], Shape(1, 3 * n)), normed.shape)
      return try engine.multiply(try engine.multiply(normed, w), try engine.silu(x[2]))
    }, large: 101)

  /// Heads of one channel are left out: ±1 with a gradient of pure cancellation.
  private static let l2Norm = OpRow(
    name: "l2Norm", shapes: { n in [[rowCount(n), 3 * max(2, n)]] },
    apply: { engine, x, _ in try engine.l2Norm(x[0], heads: 3) },
    oracle: { x, n in
      let d = max(2, n)
      return (0..<3 * rowCount(n)).flatMap { part in
        let values = Array(x[0][part * d..<(part + 1) * d])
        let root = (dot(values, values) + Double(Float(1e-6))).squareRoot()
        return values.map { $0 / root }
      }
    },
    reference: { engine, x, n in
      let parts = try engine.reshape(x[0], Shape(3 * rowCount(n), max(2, n)))
      let square = try engine.offset(
        try engine.sum(try engine.multiply(parts, parts), axis: 1), 1e-6)
      let inverse = try engine.broadcast(try engine.power(square, -0.5), parts.shape)
      return try engine.reshape(try engine.multiply(parts, inverse), x[0].shape)
    }, large: 101)

  /// silu(Σ_i w[c, i] x[t - 3 + i, c]); rows before the first are `tail` or zero.
  private static func convolution(
    _ x: [Double], _ w: [Double], batch: Int, length: Int, _ tail: [Double]?
  ) -> [Double] {
    let cols = w.count / 4
    var y = [Double](repeating: 0, count: x.count)
    for b in 0..<batch {
      for t in 0..<length {
        for c in 0..<cols {
          var sum = 0.0
          for i in 0..<4 {
            let row = t - 3 + i
            let value =
              row >= 0 ? x[(b * length + row) * cols + c] : tail?[(row + 3) * cols + c] ?? 0
            sum += w[c * 4 + i] * value
          }
          y[(b * length + t) * cols + c] = siluOf(sum)
        }
      }
    }
    return y
  }

  private static func convolutionOfPlainOps(
    _ engine: Engine, _ x: Tensor, _ w: Tensor, batch: Int, length: Int, _ tail: Tensor?
  ) throws -> Tensor {
    let cols = w.shape[0]
    let rows = try engine.reshape(x, Shape(batch, length, cols))
    let before =
      try tail.map { try engine.reshape($0, Shape(1, 3, cols)) }
      ?? engine.full(Shape(batch, 3, cols), 0)
    let whole = try engine.concatenate([before, rows], axis: 1)
    var sum: Tensor? = nil
    for i in 0..<4 {
      let tap = try engine.reshape(
        try engine.permute(try engine.slice(w, axis: 1, start: i, count: 1), [1, 0]),
        Shape(1, 1, cols))
      let part = try engine.multiply(
        try engine.slice(whole, axis: 1, start: i, count: length),
        try engine.broadcast(tap, rows.shape))
      if let before = sum { sum = try engine.add(before, part) } else { sum = part }
    }
    return try engine.reshape(try engine.silu(sum!), x.shape)
  }

  private static let shortConvolution = OpRow(
    name: "shortConvolution", shapes: { n in [[2 * n, 2 * n + 1], [2 * n + 1, 4]] },
    apply: { engine, x, _ in try engine.shortConvolution(x[0], x[1], batch: 2) },
    oracle: { x, n in convolution(x[0], x[1], batch: 2, length: n, nil) },
    reference: { engine, x, n in
      try convolutionOfPlainOps(engine, x[0], x[1], batch: 2, length: n, nil)
    })

  private static let shortConvolutionWithTail = OpRow(
    name: "shortConvolution with a tail", shapes: { n in [[n, 2 * n + 1], [2 * n + 1, 4]] },
    apply: { engine, x, n in
      try engine.shortConvolution(x[0], x[1], batch: 1, tail: Fixed.floats(3 * (2 * n + 1)))
    },
    oracle: { x, n in
      let tail = (0..<3 * (2 * n + 1)).map { Double(Fixed.floats(3 * (2 * n + 1))[$0]) }
      return convolution(x[0], x[1], batch: 1, length: n, tail)
    },
    reference: { engine, x, n in
      let values = (0..<3 * (2 * n + 1)).map { Fixed.floats(3 * (2 * n + 1))[$0] }
      return try convolutionOfPlainOps(
        engine, x[0], x[1], batch: 1, length: n, try engine.tensor(values, Shape(3, 2 * n + 1)))
    })

  private static let swiglu = OpRow(
    name: "swiglu", shapes: { [[$0, 3], [$0, 3]] },
    apply: { engine, x, _ in try engine.swiglu(x[0], x[1]) },
    oracle: { x, _ in zip(x[0], x[1]).map { siluOf($0) * $1 } },
    reference: { engine, x, _ in try engine.multiply(try engine.silu(x[0]), x[1]) }, large: 12_347)

  private static let gelu = OpRow(
    name: "fusedGELU", shapes: { [[$0, 3]] },
    apply: { engine, x, _ in try engine.fusedGELU(x[0]) },
    oracle: { x, _ in x[0].map(geluOf) },
    reference: { engine, x, _ in try engine.gelu(x[0]) }, large: 12_347)

  private static let residual = OpRow(
    name: "residual", shapes: { [[$0, 3], [$0, 3]] },
    apply: { engine, x, _ in try engine.residual(x[0], x[1]) },
    oracle: { x, _ in zip(x[0], x[1]).map(+) },
    reference: { engine, x, _ in try engine.add(x[0], x[1]) }, large: 12_347)

  /// x[0] + Σ softmax(x[1])_l x[2 + l], three parts.
  private static let mixture = OpRow(
    name: "mixture", shapes: { n in [[rowCount(n), n], [3]] + (0..<3).map { _ in [rowCount(n), n] } },
    apply: { engine, x, _ in try engine.mixture(x[0], Array(x[2...]), x[1]) },
    oracle: { x, n in
      let powers = x[1].map { exp($0) }
      let sum = powers.reduce(0, +)
      return x[0].indices.map { i in (0..<3).reduce(x[0][i]) { $0 + powers[$1] / sum * x[2 + $1][i] } }
    },
    reference: { engine, x, n in
      let powers = try engine.exp(x[1])
      let inverse = try engine.broadcast(try engine.power(try engine.sum(powers, axis: 0), -1), powers.shape)
      let weights = try engine.multiply(powers, inverse)
      var y = x[0]
      for l in 0..<3 {
        let weight = try engine.reshape(try engine.slice(weights, axis: 0, start: l, count: 1), Shape(1, 1))
        y = try engine.add(y, try engine.multiply(x[2 + l], try engine.broadcast(weight, x[0].shape)))
      }
      return y
    }, large: 301)
}
