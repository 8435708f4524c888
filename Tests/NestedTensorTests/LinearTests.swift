import NestedTensor
import Testing

/// What sessions rely on: a row's result depends on nothing but the row (one chain over the depth).
@Suite struct LinearTests {
  @Test(arguments: [(1, 1), (7, 17), (16, 32), (63, 31), (100, 33), (128, 129), (272, 100)])
  func aRowHasTheSameBitsAloneAndAmongOthers(_ depth: Int, _ out: Int) throws {
    let row = OpRow.fused.first { $0.name == "linear" }!
    for kernels in [KernelSet.v3] + (KernelSet.runsV4 ? [KernelSet.v4] : []) {
      let engine = try Engine.test(threads: 3, kernels: kernels)
      let count = 150
      let values = row.inputs(300)
      let x = try engine.tensor(Array(values[0][0..<count * depth]), Shape(count, depth))
      var w = try engine.tensor(Array(values[1][0..<out * depth]), Shape(out, depth))
      let all = try engine.linear(x, w).array.map(\.bitPattern)
      w.packed = try engine.pack(w)
      #expect(try engine.linear(x, w).array.map(\.bitPattern) == all, "kept panels")
      for (start, rows) in [(0, 1), (149, 1), (3, 5), (63, 2), (64, 64), (1, 149)] {
        let part = try engine.slice(x, axis: 0, start: start, count: rows)
        let y = try engine.linear(part, w).array.map(\.bitPattern)
        #expect(
          y == Array(all[start * out..<(start + rows) * out]), "rows \(start) and \(rows - 1) more")
      }
    }
  }

  /// A view into a storage, not only its beginning.
  @Test func offsetsOfAViewAreRespected() throws {
    let engine = try Engine.test()
    let storage = try engine.tensor((0..<96).map(Float.init), Shape(96))
    let view = Tensor(Shape(2, 3), storage.storage, offset: 7)
    #expect(view.array == [7, 8, 9, 10, 11, 12])
    let w = try engine.tensor([1, 10, 100], Shape(1, 3))
    #expect(try engine.linear(view, w).array == [987, 1320])
    #expect(try engine.reshape(view, Shape(6)).array == view.array)
    #expect(try engine.permute(view, [1, 0]).array == [7, 10, 8, 11, 9, 12])
  }
}
