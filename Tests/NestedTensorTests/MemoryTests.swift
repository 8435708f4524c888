import NestedBase
import NestedTensor
import Testing

@Suite struct MemoryTests {
  @Test func aStorageIsReusedOnceNobodyRefersToIt() throws {
    let budget = MemoryBudget()
    let pool = StoragePool(budget: budget)
    var first: Storage? = try pool.take(100)
    let second = try pool.take(100)
    #expect(first !== second && budget.current.allocations == 2)
    let address = first!.floats.pointer
    first = nil
    #expect(try pool.take(97).floats.pointer == address, "97 and 100 are of one class")
    #expect(try pool.take(200) !== second && budget.current.allocations == 3)
    pool.trim()
    #expect(budget.current.inUse == second.count * 4, "what is in use stays")
  }

  /// Every count has room, starts on a cache line, and wastes an eighth at most.
  @Test func storagesFitTheirCount() throws {
    let pool = StoragePool(budget: MemoryBudget())
    for count in [0, 1, 15, 16, 17, 63, 255, 256, 257, 1000, 4097, 100_001, 1 << 20] {
      let storage = try pool.take(count)
      #expect(storage.count >= count && storage.count <= max(count + 16, count + count / 8))
      #expect(Int(bitPattern: storage.floats.pointer) % 64 == 0)
    }
  }

  @Test func aCopyHasTheValuesAndItsOwnMemory() throws {
    let budget = MemoryBudget()
    let storage = try Storage(count: 20, budget: budget)
    for i in 0..<20 { storage.floats[i] = Float(i) }
    let copy = try storage.copy()
    storage.floats[3] = -1
    #expect(copy.floats[3] == 3 && copy.floats[19] == 19 && budget.current.allocations == 2)
  }

  @Test func theLimitIsAnErrorAndNothingLeaks() throws {
    let budget = MemoryBudget(limit: 100_000)
    do {
      let engine = try Engine.test(budget: budget)
      var held: [Tensor] = []
      let error = #expect(throws: NestedError.self) {
        while true { held.append(try engine.empty(Shape(1000))) }
      }
      #expect(error?.code == .limit)
      #expect(budget.current.inUse <= 100_000 && budget.current.peak <= 100_000 && held.count == 24)
      held.removeAll()
      _ = try engine.empty(Shape(1000))  // what was given back can be had again
      #expect(budget.current.allocations == 24)
    }
    #expect(budget.current.inUse == 0)
  }

  @Test func absurdSizesAreRefused() throws {
    let budget = MemoryBudget()
    let held = try Storage(count: 16, budget: budget)
    for count in [Int.max, Int.max / 4, 1 << 60, -1] {
      let error = #expect(throws: NestedError.self) {
        _ = try Storage(count: count, budget: budget)
      }
      #expect(error?.code == .noMemory)
    }
    #expect(budget.current.inUse == held.count * 4)
  }

  @Test func enginesAreKeptWarmAndGiveTheirMemoryBack() throws {
    let runtime = try Runtime(threads: 1)
    let engine = try runtime.checkOut()
    _ = try engine.empty(Shape(1000))
    engine.tape = Tape()
    runtime.checkIn(engine)
    let again = try runtime.checkOut()
    #expect(again === engine && again.tape == nil && runtime.budget.current.inUse > 0)
    runtime.checkIn(again)
    runtime.trim()
    #expect(runtime.budget.current.inUse == 0)
    let error = #expect(throws: NestedError.self) { _ = try Runtime(threads: 1, kernels: nil) }
    #expect(error?.code == .unsupported)
  }
}
