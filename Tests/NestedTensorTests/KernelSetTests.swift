import NestedBase
import NestedTensor
import Oracle
import Testing

/// Kernels that no operation of the table reaches, and what all elementwise kernels promise, in both CPU classes.
@Suite struct KernelSetTests {
  static let classes: [KernelSet] = [.v3] + (KernelSet.runsV4 ? [.v4] : [])
  private let budget = MemoryBudget()

  /// Random numbers with NaN after the end.
  private func values(_ count: Int, seed: UInt64) throws -> Storage {
    let storage = try nothing(count)
    var random = OracleRandom(seed)
    for i in 0..<count { storage.floats[i] = Float(random.normal()) }
    return storage
  }
  private func list(_ storage: Storage, _ count: Int) -> [Double] {
    (0..<count).map { Double(storage.floats[$0]) }
  }

  @Test(arguments: [0, 1, 7, 16, 17, 63, 1000, 5001])
  func reductionsAgreeWithDouble(_ count: Int) throws {
    let a = try values(count, seed: 1), b = try values(count, seed: 2)
    let (x, y) = (list(a, count), list(b, count))
    for kernels in KernelSetTests.classes {
      let squares = kernels.sumOfSquares(a.floats, count)
      #expect((squares - dot(x, x)).magnitude <= 1e-6 * (1 + dot(x, x)))
      let sum = try self.values(count, seed: 2)
      kernels.axpy(sum.floats, a.floats, -1.5, count)
      #expect(relativeError(list(sum, count), zip(x, y).map { $1 - 1.5 * $0 }) <= 1e-6)
      #expect(sum.floats[count].isNaN, "wrote over the end")
    }
  }

  @Test func everyNonFiniteElementIsFound() throws {
    let count = 67
    for kernels in KernelSetTests.classes {
      let a = try values(count, seed: 3)
      #expect(kernels.allFinite(a.floats, count) && kernels.allFinite(a.floats, 0))
      for i in 0..<count {
        for bad in [Float.nan, .infinity, -.infinity, .signalingNaN] {
          let before = a.floats[i]
          a.floats[i] = bad
          let finite = kernels.allFinite(a.floats, count)
          #expect(!finite, "\(bad) at \(i)")
          a.floats[i] = before
        }
      }
    }
  }

  /// C = α op(A) op(B) + β C with row strides longer than the rows.
  @Test(arguments: [(1, 1, 1), (7, 17, 3), (63, 5, 31), (16, 64, 144)])
  func gemmAgreesWithDouble(_ m: Int, _ n: Int, _ k: Int) throws {
    for kernels in KernelSetTests.classes {
      for (transA, transB) in [(false, false), (false, true), (true, false), (true, true)] {
        let lda = (transA ? m : k) + 3, ldb = (transB ? k : n) + 2, ldc = n + 1
        let a = try values(lda * max(m, k), seed: 4), b = try values(ldb * max(n, k), seed: 5)
        let c = try values(ldc * m, seed: 6)
        let before = list(c, ldc * m)
        kernels.gemm(transA, transB, m, n, k, 0.5, a.floats, lda, b.floats, ldb, 2, c.floats, ldc)
        var expected = before
        for i in 0..<m {
          for j in 0..<n {
            var sum = 0.0
            for l in 0..<k {
              sum +=
                Double(a.floats[transA ? l * lda + i : i * lda + l])
                * Double(b.floats[transB ? j * ldb + l : l * ldb + j])
            }
            expected[i * ldc + j] = 0.5 * sum + 2 * before[i * ldc + j]
          }
        }
        #expect(relativeError(list(c, ldc * m), expected) <= 1e-6)
      }
    }
  }

  /// A value has the same bits wherever it stands: alone, in a tail, or in the middle of a vector.
  @Test func elementwiseValuesDoNotDependOnTheirPlace() throws {
    let count = 63
    let a = try values(count, seed: 7), b = try values(count, seed: 8),
      dy = try values(count, seed: 9)
    for kernels in KernelSetTests.classes {
      let operations: [@Sendable (Floats, Floats, Int, Int) -> Void] = [
        { y, _, at, n in kernels.geluForward(y, a.floats + at, n) },
        { y, _, at, n in kernels.geluBackward(y, dy.floats + at, a.floats + at, n) },
        { y, _, at, n in kernels.swigluForward(y, a.floats + at, b.floats + at, n) },
        { y, z, at, n in
          kernels.swigluBackward(y, z, dy.floats + at, a.floats + at, b.floats + at, n)
        },
        { y, _, at, n in kernels.add(y, a.floats + at, b.floats + at, n) },
      ]
      for operation in operations {
        let y = try nothing(count), z = try nothing(count)
        operation(y.floats, z.floats, 0, count)
        for at in 0..<count {
          let one = try nothing(1), other = try nothing(1)
          operation(one.floats, other.floats, at, 1)
          #expect(one.floats[0].bitPattern == y.floats[at].bitPattern && one.floats[1].isNaN)
          #expect(other.floats[0].bitPattern == z.floats[at].bitPattern || other.floats[0].isNaN)
        }
      }
    }
  }

  /// Room for `count` floats, all NaN.
  private func nothing(_ count: Int) throws -> Storage {
    let storage = try Storage(count: count + 32, budget: budget)
    storage.floats.fill(.nan, count: count + 32)
    return storage
  }
}
