import NestedBase
import NestedTensor
import Oracle
import Testing

@Suite struct NeuralMemoryTests {
  /// Without momentum and forgetting a matrix from 0 follows the delta rule with β = θ (paper.md 9, oracle 7).
  @Test func aMatrixWithoutMomentumAndForgettingIsTheDeltaRule() throws {
    let engine = try Engine.test()
    var random = OracleRandom(5)
    func normal(_ count: Int, _ shape: Shape) throws -> Tensor {
      try engine.tensor((0..<count).map { _ in Float(random.normal()) }, shape)
    }
    let spec = NeuralMemorySpec(d: 6, hidden: 0, chunk: 1), n = 40
    func vectors() throws -> Tensor { try normal(n * 12, Shape(n, 12)) }
    let q = try vectors(), k = try engine.l2Norm(try vectors(), heads: 2), v = try vectors()
    let zero = try engine.full(Shape(n, 2), 0), one = try engine.full(Shape(n, 2), 1)
    let rate = try engine.sigmoid(try normal(n * 2, Shape(n, 2)))
    let o = try engine.neuralMemory(
      spec, q: q, writes: NeuralMemoryWrites(k: k, v: v, alpha: zero, eta: zero, theta: rate),
      state: try engine.full(Shape(2, spec.stateSize), 0), heads: 2, batch: 1
    ).o
    let delta = try engine.linearMemory(q: q, k: k, v: v, alpha: one, beta: rate, heads: 2, batch: 1)
    #expect(relativeError(doubles(o.array), doubles(delta.array)) <= 1e-6)
  }

  /// A stream's state, moved in pieces, is the one that comes back as a tensor.
  @Test(arguments: [NeuralMemorySpec(d: 5, hidden: 0, chunk: 4), NeuralMemorySpec(d: 5, hidden: 9, chunk: 1)])
  func aStreamsStateIsTheReturnedOne(_ spec: NeuralMemorySpec) throws {
    let engine = try Engine.test()
    var random = OracleRandom(6)
    func normal(_ rows: Int, _ columns: Int, _ scale: Double = 1) throws -> Tensor {
      try engine.tensor((0..<rows * columns).map { _ in Float(scale * random.normal()) }, Shape(rows, columns))
    }
    let n = 11
    let q = try normal(n, 5), k = try engine.l2Norm(try normal(n, 5), heads: 1), v = try normal(n, 5)
    let gates = try (0..<3).map { _ in try engine.sigmoid(try normal(n, 1)) }
    let initial = try normal(1, spec.stateSize, 0.4)
    let stream = try engine.tensor(initial.array, initial.shape)
    func writes(_ start: Int, _ count: Int) throws -> NeuralMemoryWrites {
      func rows(_ x: Tensor) throws -> Tensor { try engine.slice(x, axis: 0, start: start, count: count) }
      return NeuralMemoryWrites(
        k: try rows(k), v: try rows(v), alpha: try rows(gates[0]), eta: try rows(gates[1]), theta: try rows(gates[2]))
    }
    let whole = try engine.neuralMemory(
      spec, q: q, writes: try writes(0, n), state: initial, heads: 1, batch: 1, returnsState: true)
    var o: [Float] = []
    for (start, count) in [(0, 3), (3, 1), (4, 7)] {
      o += try engine.neuralMemory(
        spec, q: try engine.slice(q, axis: 0, start: start, count: count), writes: try writes(start, count),
        stream: stream.floats, heads: 1, position: start
      ).array
    }
    #expect(o == whole.o.array && stream.array == whole.state?.array)
    _ = try engine.neuralMemory(spec, q: q, writes: nil, stream: stream.floats, heads: 1, position: n)
    #expect(Array(stream.array[..<(2 * spec.weights)]) == Array(whole.state!.array[..<(2 * spec.weights)]))
  }
}
