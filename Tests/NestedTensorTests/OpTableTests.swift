import NestedBase
import NestedTensor
import Oracle
import Testing

/// Every operation through the same battery. A new operation is a new row in `OpRow.all`.
@Suite struct OpTableTests {
  /// Value against the oracle and gradient against its central differences, at odd sizes, in poisoned memory.
  @Test(arguments: OpRow.all)
  func valueAndGradientAgreeWithTheOracle(_ row: OpRow) throws {
    let engine = try Engine.test()
    for n in row.sizes {
      let inputs = row.inputs(n)
      let pass = try Pass(row, engine, n, inputs, by: row.apply)
      let exact = doubles(inputs)
      let error = relativeError(doubles(pass.y), row.oracle(exact, n))
      #expect(error <= row.valueTolerance, "\(row.name), n = \(n): value off by \(error)")
      if !row.hasOracleGradient { continue }
      let dy = doubles(Pass.seed(pass.y.count))
      let places = Places(inputs, most: 60)
      let expected = places.differences(exact) { dot(dy, row.oracle($0, n)) }
      let got = places.pick(doubles(pass.gradients))
      let close = closeGradients(got, expected, row.gradientTolerance)
      #expect(close, "\(row.name), n = \(n): gradient \(got) is not \(expected)")
    }
  }

  /// L = Σ dy·y³, S = Σ c·dL/dx: dS/dx against mixed second differences of L's oracle.
  @Test(arguments: OpRow.all.filter(\.twice))
  func gradientOfTheGradientAgreesWithSecondDifferences(_ row: OpRow) throws {
    let engine = try Engine.test()
    for n in row.sizes where n <= 17 {
      let inputs = row.inputs(n)
      var random = OracleRandom(9)
      let direction = inputs.map { $0.map { _ in Float(random.normal()) } }
      let got = try secondOrder(row, engine, n, inputs, direction)

      let exact = doubles(inputs)
      let dy = doubles(Pass.seed(row.oracle(exact, n).count))
      let loss = { (x: [[Double]]) in dot(dy, row.oracle(x, n).map { $0 * $0 * $0 }) }
      // S(x) = d/dε L(x + ε c)
      let step = 1e-4
      let slope = { (x: [[Double]]) -> Double in
        func moved(_ s: Double) -> [[Double]] {
          zip(x, direction).map { zip($0, $1).map { $0 + s * Double($1) } }
        }
        return (loss(moved(step)) - loss(moved(-step))) / (2 * step)
      }
      let places = Places(inputs, most: 24)
      let expected = places.differences(exact, step: step, slope)
      let close = closeGradients(places.pick(got), expected, 1e-4)
      #expect(close, "\(row.name), n = \(n): \(places.pick(got)) is not \(expected)")
    }
  }

  private func secondOrder(
    _ row: OpRow, _ engine: Engine, _ n: Int, _ inputs: [[Float]], _ direction: [[Float]]
  ) throws -> [[Double]] {
    let tape = Tape()
    engine.tape = tape
    defer { engine.tape = nil }
    let variables = try engine.tensors(row, inputs, n).map(tape.variable)
    let y = try row.apply(engine, variables, n)
    let cube = try engine.multiply(try engine.multiply(y, y), y)
    try tape.backward(
      engine, from: cube, seed: try engine.tensor(Pass.seed(y.count), y.shape), again: true)
    var total: Tensor? = nil
    for (variable, c) in zip(variables, direction) {
      guard let gradient = tape.gradient(variable) else { continue }  // the output does not depend on it
      let flat = try engine.reshape(gradient, Shape(gradient.count))
      let part = try engine.sum(
        try engine.multiply(flat, try engine.tensor(c, Shape(c.count))), axis: 0)
      if let before = total { total = try engine.add(before, part) } else { total = part }
    }
    let sum = try #require(total)
    try tape.backward(engine, from: sum, seed: try engine.full(Shape(1), 1))
    return variables.map {
      doubles(tape.gradient($0)?.array ?? [Float](repeating: 0, count: $0.count))
    }
  }

  /// A fused operation against a composition of plain ones on the same tape.
  @Test(arguments: OpRow.all.filter { $0.reference != nil })
  func fusedEqualsItsReferenceComposition(_ row: OpRow) throws {
    let engine = try Engine.test()
    let reference = try #require(row.reference)
    for n in row.sizes {
      let inputs = row.inputs(n, seed: 2)
      let fused = try Pass(row, engine, n, inputs, by: row.apply)
      let plain = try Pass(row, engine, n, inputs, by: reference)
      let error = relativeError(doubles(fused.y), doubles(plain.y))
      #expect(error <= row.valueTolerance, "\(row.name), n = \(n): value off by \(error)")
      let close = closeGradients(
        doubles(fused.gradients), doubles(plain.gradients), row.gradientTolerance)
      #expect(close, "\(row.name), n = \(n): gradients")
    }
  }

  /// A gradient that has a place is added to it, and to nothing else.
  @Test(arguments: OpRow.all)
  func gradientsAreAddedToTheirPlaces(_ row: OpRow) throws {
    let engine = try Engine.test()
    let n = row.failing
    let inputs = row.inputs(n)
    let plain = try Pass(row, engine, n, inputs, by: row.apply)
    let tape = Tape()
    engine.tape = tape
    defer { engine.tape = nil }
    let places = try row.shapes(n).map { try engine.full(Shape($0), 3) }
    let variables = try zip(engine.tensors(row, inputs, n), places).map {
      tape.variable($0, addingTo: $1.floats)
    }
    let y = try row.apply(engine, variables, n)
    try tape.backward(engine, from: y, seed: try engine.tensor(Pass.seed(y.count), y.shape))
    for (place, gradient) in zip(places, plain.gradients) {
      let expected = gradient.map { Double($0) + 3 }
      #expect(relativeError(doubles(place.array), expected) <= 1e-6, "\(row.name)")
    }
  }

  /// Without a tape, and with inputs that are constants, the same bits come out and nothing is recorded.
  @Test(arguments: OpRow.all)
  func recordingChangesNoBit(_ row: OpRow) throws {
    let engine = try Engine.test()
    let n = row.failing
    let inputs = row.inputs(n)
    let expected = try Pass(row, engine, n, inputs, by: row.apply).y.map(\.bitPattern)
    let alone = try row.apply(engine, try engine.tensors(row, inputs, n), n)
    #expect(alone.array.map(\.bitPattern) == expected && alone.slot < 0)
    engine.tape = Tape()
    defer { engine.tape = nil }
    let constant = try row.apply(engine, try engine.tensors(row, inputs, n), n)
    #expect(constant.array.map(\.bitPattern) == expected && constant.slot < 0)
  }

  /// Values and gradients have the same bits for any number of threads, at a size that is shared out among them.
  @Test(arguments: OpRow.all)
  func threadsChangeNoBit(_ row: OpRow) throws {
    let one = try Pass(row, try Engine.test(threads: 1), row.large)
    for threads in [2, 3, 8] {
      let several = try Pass(row, try Engine.test(threads: threads), row.large)
      let same = several.bits == one.bits
      #expect(same, "\(row.name) on \(threads) threads")
    }
  }

  /// The kernels of both CPU classes compute the same, up to rounding.
  @Test(.enabled(if: KernelSet.runsV4), arguments: OpRow.all)
  func cpuClassesAgree(_ row: OpRow) throws {
    for n in [row.failing, row.large] {
      let v3 = try Pass(row, try Engine.test(kernels: .v3), n)
      let v4 = try Pass(row, try Engine.test(kernels: .v4), n)
      #expect(relativeError(doubles(v4.y), doubles(v3.y)) <= row.valueTolerance, "\(row.name)")
      let close = closeGradients(
        doubles(v4.gradients), doubles(v3.gradients), row.gradientTolerance)
      #expect(close, "\(row.name), n = \(n): gradients")
    }
  }

  /// The second of two equal passes allocates nothing and has the same bits.
  @Test(arguments: OpRow.all)
  func aSecondPassAllocatesNothing(_ row: OpRow) throws {
    let budget = MemoryBudget()
    do {
      let engine = try Engine.test(budget: budget)
      let first = try Pass(row, engine, row.failing)
      let allocations = budget.current.allocations
      let second = try Pass(row, engine, row.failing)
      #expect(budget.current.allocations == allocations, "\(row.name)")
      let same = second.bits == first.bits
      #expect(same, "\(row.name)")
    }
    #expect(
      budget.current.inUse == 0, "\(row.name): \(budget.current.inUse) bytes outlive the engine")
  }

  /// Whichever allocation of a forward and backward pass fails: an error, nothing leaked, and the engine works on.
  @Test(arguments: OpRow.all)
  func everyAllocationMayFail(_ row: OpRow) throws {
    let expected = try Pass(row, try Engine.test(), row.failing)
    var failures = 0
    while true {
      let budget = MemoryBudget()
      do {
        let engine = try Engine.test(budget: budget)
        budget.refuse(allocation: failures + 1)
        do {
          let pass = try Pass(row, engine, row.failing)
          let same = pass.bits == expected.bits
          #expect(same, "\(row.name)")
          budget.refuse(allocation: 0)
          break
        } catch let error as NestedError {
          #expect(error.code == .noMemory, "\(row.name): \(error.message)")
        }
        failures += 1
        let again = try Pass(row, engine, row.failing)
        let same = again.bits == expected.bits
        #expect(same, "\(row.name) after allocation \(failures) failed")
      }
      #expect(budget.current.inUse == 0, "\(row.name) leaked after allocation \(failures) failed")
    }
    #expect(failures > 0)
  }
}

extension KernelSet {
  static var runsV4: Bool { current.map { "\($0.cpuClass)" == "x86-64-v4" } ?? false }
}
