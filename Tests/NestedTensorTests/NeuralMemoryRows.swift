import Glibc
import NestedBase
import NestedTensor
import Oracle

/// Titans' neural memory with its last state as a second output: two sequences, two heads, d = 5.
enum NeuralMemoryRows {
  static let all = [
    row("neuralMemory, matrix", NeuralMemorySpec(d: 5, hidden: 0, chunk: 1)),
    row("neuralMemory, matrix, chunk", NeuralMemorySpec(d: 5, hidden: 0, chunk: 3)),
    row("neuralMemory, mlp", NeuralMemorySpec(d: 5, hidden: 19, chunk: 1)),
    row("neuralMemory, mlp, chunk", NeuralMemorySpec(d: 5, hidden: 7, chunk: 3)),
    reading,
  ]

  private static func shapes(_ spec: NeuralMemorySpec) -> [[Int]] {
    spec.hidden == 0 ? [[2, 5, 5]] : [[2, spec.hidden, 5], [2, 5, spec.hidden]]
  }

  private static func row(_ name: String, _ spec: NeuralMemorySpec) -> OpRow {
    OpRow(
      name: name,
      shapes: { n in
        [[2 * n, 10], [2 * n, 10], [2 * n, 10], [2 * n, 2], [2 * n, 2], [2 * n, 2]] + shapes(spec)
      },
      apply: { engine, x, _ in
        let zero = try engine.full(Shape(2), 0)
        func gate(_ i: Int) throws -> Tensor { try engine.sigmoidGate(x[i], bias: zero) }
        let writes = NeuralMemoryWrites(
          k: try engine.l2Norm(x[1], heads: 2), v: x[2], alpha: try gate(3), eta: try gate(4), theta: try gate(5))
        let (o, state) = try engine.neuralMemory(
          spec, q: x[0], writes: writes,
          state: try engine.neuralMemoryState(spec, Array(x[6...]), heads: 2, batch: 2), heads: 2, batch: 2,
          returnsState: true)
        let weights = try engine.slice(state!, axis: 1, start: 0, count: 2 * spec.weights)
        return try engine.concatenate(
          [o, weights].map { try engine.reshape($0, Shape($0.count)) }, axis: 0)
      },
      oracle: { x, n in
        let tape = ScalarTape()
        func sigmoid(_ x: Double) -> Num { Num(1 / (1 + exp(-x))) }
        var o = [Double](repeating: 0, count: 20 * n)
        var last: [Double] = []
        for row in 0..<2 {
          for head in 0..<2 {
            var memory = OracleNeuralMemory(matrices(spec, Array(x[6...]), head), chunk: spec.chunk)
            for t in 0..<n {
              let at = ((row * n + t) * 2 + head) * 5, gate = (row * n + t) * 2 + head
              func vector(_ i: Int) -> [Num] { x[i][at..<at + 5].map { Num($0) } }
              memory.write(
                tape, k: tape.l2(vector(1)), v: vector(2), alpha: sigmoid(x[3][gate]), eta: sigmoid(x[4][gate]),
                theta: sigmoid(x[5][gate]), position: t)
              for (c, y) in memory.read(tape, vector(0)).enumerated() { o[at + c] = y.value }
            }
            for m in memory.weights + memory.momentum { last += m.transposedValues }
          }
        }
        return o + last
      }, sizes: [1, 7, 33], large: 70)
  }

  /// What mode mac does at the start of a segment.
  private static let reading = OpRow(
    name: "neuralMemory, read only", shapes: { n in [[2 * n, 10]] + shapes(NeuralMemorySpec(d: 5, hidden: 7, chunk: 1)) },
    apply: { engine, x, _ in
      let spec = NeuralMemorySpec(d: 5, hidden: 7, chunk: 1)
      return try engine.neuralMemory(
        spec, q: x[0], writes: nil,
        state: try engine.neuralMemoryState(spec, Array(x[1...]), heads: 2, batch: 2), heads: 2, batch: 2
      ).o
    },
    oracle: { x, n in
      let spec = NeuralMemorySpec(d: 5, hidden: 7, chunk: 1)
      let memories = (0..<2).map { OracleNeuralMemory(matrices(spec, Array(x[1...]), $0), chunk: 1) }
      var o: [Double] = []
      for i in 0..<4 * n {
        let query: [Num] = x[0][i * 5..<i * 5 + 5].map { Num($0) }
        o += memories[i % 2].read(ScalarTape(), query).map(\.value)
      }
      return o
    }, large: 600)

  private static func matrices(_ spec: NeuralMemorySpec, _ weights: [[Double]], _ head: Int) -> [Matrix] {
    zip(weights, shapes(spec)).map { values, shape in
      let count = shape[1] * shape[2]
      return Matrix(shape[1], shape[2], values[head * count..<(head + 1) * count].map { Num($0) })
    }
  }
}

extension Matrix {
  fileprivate var transposedValues: [Double] {
    (0..<cols).flatMap { j in (0..<rows).map { data[$0 * cols + j].value } }
  }
}
