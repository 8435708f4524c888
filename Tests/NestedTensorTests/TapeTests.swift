import NestedBase
import NestedTensor
import Testing

@Suite struct TapeTests {
  /// Nothing recurses over the tape: 300,000 operations, each on the result of the one before, are recorded,
  /// walked back and released on a stack of 512 KiB.
  @Test func aLongTapeNeedsNoStack() throws {
    final class Outcome: @unchecked Sendable {
      var gradient: [Float] = []
      var error: (any Error)?
    }
    let outcome = Outcome()
    let budget = MemoryBudget()
    try onThreads(1, stack: 512 << 10) { _ in
      do {
        let engine = try Engine.test(budget: budget)
        engine.memory.poisons = false
        let tape = Tape()
        engine.tape = tape
        let x = tape.variable(try engine.full(Shape(3), 1))
        var y = x
        for i in 0..<300_000 {
          y =
            i % 2 == 0 ? try engine.scale(y, i % 4 == 0 ? 2 : 0.5) : try engine.reshape(y, Shape(3))
          // The tape holds every storage, so looking for a free one would only take time.
          if i % 500 == 0 { engine.memory.trim() }
        }
        let seed = try engine.full(Shape(3), 1.5)
        try tape.backward(engine, from: y, seed: seed)
        outcome.gradient = tape.gradient(x)?.array ?? []
      } catch {
        outcome.error = error
      }
    }
    #expect(outcome.error == nil)
    #expect(outcome.gradient == [1.5, 1.5, 1.5])
    #expect(budget.current.inUse == 0)
  }

  @Test func whatTheOutputDoesNotDependOnHasNoGradient() throws {
    let engine = try Engine.test()
    let tape = Tape()
    engine.tape = tape
    let a = tape.variable(try engine.full(Shape(3), 2)),
      b = tape.variable(try engine.full(Shape(3), 3))
    let y = try engine.multiply(a, a)
    _ = try engine.multiply(b, y)
    try tape.backward(engine, from: y, seed: try engine.full(Shape(3), 1))
    #expect(tape.gradient(a)?.array == [4, 4, 4] && tape.gradient(b) == nil)
    #expect(tape.gradient(y.detached) == nil)
  }

  /// A variable used three times, and one that is its own output's input through a detached copy.
  @Test func gradientsOfSeveralUsesAddUp() throws {
    let engine = try Engine.test()
    let tape = Tape()
    engine.tape = tape
    let x = tape.variable(try engine.full(Shape(1), 3))
    let y = try engine.add(try engine.multiply(x, x), try engine.multiply(x, x.detached))
    try tape.backward(engine, from: y, seed: try engine.full(Shape(1), 1))
    #expect(tape.gradient(x)?.array == [9])  // 2x + x
  }

  /// Places are found among thousands of variables.
  @Test func everyPlaceGetsItsOwnGradient() throws {
    let engine = try Engine.test()
    let tape = Tape()
    engine.tape = tape
    let places = try engine.full(Shape(1000), 0)
    var sum: Tensor? = nil
    for i in 0..<1000 {
      let x = try engine.full(Shape(1), 1)
      let variable = i % 3 == 0 ? tape.variable(x) : tape.variable(x, addingTo: places.floats + i)
      let term = try engine.scale(variable, Float(i))
      if let before = sum { sum = try engine.add(before, term) } else { sum = term }
    }
    try tape.backward(engine, from: sum!, seed: try engine.full(Shape(1), 1))
    let expected = (0..<1000).map { (i: Int) -> Float in i % 3 == 0 ? 0 : Float(i) }
    #expect(places.array == expected)
  }

  @Test func shapesCountAndStride() {
    let shape = Shape([2, 3, 5, 7])
    #expect(shape.count == 210 && shape.rank == 4 && shape.last == 7)
    #expect((0..<4).map(shape.stride) == [105, 35, 7, 1])
    #expect(shape.replacing(1, with: 4) == Shape(2, 4, 5, 7) && "\(Shape(2, 3))" == "[2, 3]")
    #expect(Shape(4) != Shape(4, 1))
  }

  /// A weight's sink may ask for what the weight was multiplied with.
  @Test func theInputsOfAWeightAreSummed() throws {
    let engine = try Engine.test()
    for columns in [16, 5] {
      let tape = Tape()
      tape.inputWeight = 0.5
      engine.tape = tape
      let x = try engine.tensor((0..<3 * columns).map { Float($0) }, Shape(3, columns))
      let w = try engine.full(Shape(2, columns), 1)
      let places = try engine.full(Shape(4, columns), 0)
      let weight = tape.variable(w, addingTo: places.floats, inputs: places.floats + 2 * columns)
      let y = try engine.linear(x, weight)
      try tape.backward(engine, from: y, seed: try engine.full(y.shape, 1))
      engine.tape = nil
      let sums = (0..<columns).map { Float(3 * $0 + 3 * columns) }
      #expect(Array(places.array[2 * columns..<3 * columns]) == sums.map { 0.5 * $0 })
      #expect(Array(places.array[..<columns]) == sums)
      #expect(places.array[(3 * columns)...].allSatisfy { $0 == 0 })
    }
  }
}
