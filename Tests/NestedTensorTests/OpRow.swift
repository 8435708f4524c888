import CNestedShims
import NestedBase
import NestedTensor
import Oracle

/// One operation in the table: what it is called with, what it should compute, and which checks apply.
///
/// A row states a size `n`, and its shapes follow from it; every row runs at several odd sizes.
struct OpRow: Sendable, CustomStringConvertible {
  enum Values: Sendable { case real, positive }

  let name: String
  /// Shapes of the inputs at size n. All of them are differentiated.
  let shapes: @Sendable (Int) -> [[Int]]
  /// The operation under test.
  let apply: @Sendable (Engine, [Tensor], Int) throws -> Tensor
  /// The same in Double, from the definition: flat inputs to flat output.
  let oracle: @Sendable ([[Double]], Int) -> [Double]
  /// A fused operation as a composition of plain ones.
  var reference: (@Sendable (Engine, [Tensor], Int) throws -> Tensor)?
  var values = Values.real
  /// Whether its gradient can be differentiated again.
  var twice = false
  /// Whether differences of the oracle are its gradient (not where a gradient is cut on purpose).
  var hasOracleGradient = true
  var sizes = [1, 7, 17, 63]
  /// The size at which threads and CPU classes are compared and time is taken: enough work to be shared out.
  var large = 257
  /// The size at which every allocation fails once.
  var failing = 7
  /// Standard deviation of input i's values; 1 if nil.
  var deviation: @Sendable (Int) -> Double = { _ in 1 }
  var valueTolerance = 1e-5
  var gradientTolerance = 1e-4

  var description: String { name }

  /// Inputs at size n: Float values, which the oracle sees exactly.
  func inputs(_ n: Int, seed: UInt64 = 1) -> [[Float]] {
    var random = OracleRandom(seed &+ UInt64(n) &* 1009)
    return shapes(n).enumerated().map { index, shape in
      (0..<shape.reduce(1, *)).map { _ in
        let value = random.normal() * deviation(index)
        return Float(values == .positive ? 0.5 + value.magnitude : value)
      }
    }
  }
}

/// Values that are named, used by several rows and by reference, and therefore kept for the process: token ids
/// and weights have to stay where they are until a tape has been walked.
enum Fixed {
  private static let mutex = Mutex()
  nonisolated(unsafe) private static var tokenLists: [[Int]: UnsafeMutablePointer<Int32>] = [:]
  nonisolated(unsafe) private static var floatLists: [Int: UnsafeMutablePointer<Float>] = [:]

  /// `count` ids below `vocab`; with `holes` about a third of them are negative: no target.
  static func tokens(_ count: Int, below vocab: Int, holes: Bool = false) -> Tokens {
    Tokens(
      mutex.withLock { () -> UnsafePointer<Int32> in
        let key = [count, vocab, holes ? 1 : 0]
        if let known = tokenLists[key] { return UnsafePointer(known) }
        var random = OracleRandom(UInt64(count * 31 + vocab))
        let list = UnsafeMutablePointer<Int32>.allocate(capacity: count)
        for i in 0..<count {
          let token = Int32(random.token(vocab))
          list[i] = holes && i % 3 == 1 ? -1 : token
        }
        tokenLists[key] = list
        return UnsafePointer(list)
      })
  }

  /// The same with every fifth of them NaN.
  static func holes(_ count: Int) -> Floats {
    let numbers = floats(count)
    return Floats(
      mutex.withLock {
        if let known = floatLists[-count] { return known }
        let list = UnsafeMutablePointer<Float>.allocate(capacity: count)
        for i in 0..<count { list[i] = i % 5 == 4 ? .nan : numbers[i] }
        floatLists[-count] = list
        return list
      })
  }

  /// `count` numbers between ½ and 1½.
  static func floats(_ count: Int) -> Floats {
    Floats(
      mutex.withLock {
        if let known = floatLists[count] { return known }
        var random = OracleRandom(UInt64(count))
        let list = UnsafeMutablePointer<Float>.allocate(capacity: count)
        for i in 0..<count { list[i] = Float(0.5 + random.uniform()) }
        floatLists[count] = list
        return list
      })
  }
}

extension Engine {
  /// An engine of its own: poisoned memory, own threads, own budget.
  static func test(
    threads: Int = 1, kernels: KernelSet? = KernelSet.current, budget: MemoryBudget = MemoryBudget()
  ) throws -> Engine {
    let engine = Engine(
      kernels: kernels!, threads: try ThreadPool(threads: threads), budget: budget)
    engine.memory.poisons = true
    return engine
  }

  func tensors(_ row: OpRow, _ values: [[Float]], _ n: Int) throws -> [Tensor] {
    var tensors: [Tensor] = []
    for (value, shape) in zip(values, row.shapes(n)) {
      tensors.append(try tensor(value, Shape(shape)))
    }
    return tensors
  }
}

/// A forward and a backward pass of a row.
struct Pass {
  var y: [Float] = []
  var gradients: [[Float]] = []

  /// y and d(Σ dy·y)/d(input) for every input; dy are the first numbers of a fixed list.
  init(
    _ row: OpRow, _ engine: Engine, _ n: Int, _ values: [[Float]],
    by operation: @Sendable (Engine, [Tensor], Int) throws -> Tensor
  ) throws {
    // As in a call of the library, where subnormals are zero on every thread.
    let environment = nested_shim_float_enter()
    defer { nested_shim_float_leave(environment) }
    let tape = Tape()
    engine.tape = tape
    defer { engine.tape = nil }
    let variables = try engine.tensors(row, values, n).map(tape.variable)
    let y = try operation(engine, variables, n)
    self.y = y.array
    try tape.backward(engine, from: y, seed: try engine.tensor(Pass.seed(y.count), y.shape))
    gradients = variables.map {
      tape.gradient($0)?.array ?? [Float](repeating: 0, count: $0.count)
    }
    for (variable, value) in zip(variables, values) where variable.array != value {
      throw NestedError(.internalError, "\(row.name) changed an input")
    }
  }

  init(_ row: OpRow, _ engine: Engine, _ n: Int, seed: UInt64 = 1) throws {
    try self.init(row, engine, n, row.inputs(n, seed: seed), by: row.apply)
  }

  static func seed(_ count: Int) -> [Float] {
    var random = OracleRandom(77)
    return (0..<count).map { _ in Float(random.normal()) }
  }

  var bits: [UInt32] { (y + gradients.flatMap { $0 }).map(\.bitPattern) }
}

func doubles(_ values: [Float]) -> [Double] { values.map(Double.init) }
func doubles(_ values: [[Float]]) -> [[Double]] { values.map(doubles) }

/// Gradients input by input: each within `tolerance` of its own norm, up to what rounding makes of the whole.
func closeGradients(_ got: [[Double]], _ expected: [[Double]], _ tolerance: Double) -> Bool {
  let norm = { (x: [Double]) in x.reduce(0) { $0 + $1 * $1 }.squareRoot() }
  let whole = norm(expected.flatMap { $0 })
  return zip(got, expected).allSatisfy { a, b in
    norm(zip(a, b).map { $0 - $1 }) <= tolerance * norm(b) + 1e-6 * whole
  }
}
