import NestedBase
import NestedTensor
import Oracle
import Testing

/// The self-modifying scan (SPEC 2) against the float64 token recurrence: values, final states, every gradient.
@Suite struct ScanOracleTests {
  /// The chunked form, as compiled for each processor class that this machine has.
  @Test(arguments: OracleCase.all)
  func chunkedFormAgrees(_ c: OracleCase) throws {
    for kernels in [KernelSet.v3, KernelSet.current!] { try agrees(c, .chunked, kernels) }
  }

  /// The token recurrence in plain operations.
  @Test(arguments: OracleCase.all)
  func recurrenceAgrees(_ c: OracleCase) throws { try agrees(c, .recurrence, KernelSet.current!) }

  private func agrees(_ c: OracleCase, _ form: ScanUnderTest.Form, _ kernels: KernelSet) throws {
    let o = c.options
    let values = o.randomParameters(seed: 21)
    let rows = ScanUnderTest.rows(o, c.length, seed: 22)
    let dO = ScanUnderTest.dO(o, c.length, seed: 23)
    let expected = OracleScan.run(o, values, rows, dO: dO)
    let got = try ScanUnderTest(o, kernels: kernels).run(form, values, rows, dO: dO)
    #expect(relativeError(got.o, expected.o.flatMap { $0 }) <= c.valueTolerance)
    for (name, w) in expected.state.weights(o) {
      #expect(relativeError(got.weights[name]!, w) <= c.valueTolerance, "final \(name)")
    }
    compare(got.gradients, expected.gradients, c.gradientTolerance)
  }

  /// A stream that goes on in the middle of chunks: its state is constant, its pending rows still count.
  @Test(arguments: OracleCase.all)
  func gradientsOfAContinuedStreamAgree(_ c: OracleCase) throws {
    let o = c.options
    let from = c.length / 2
    let values = o.randomParameters(seed: 31)
    let rows = ScanUnderTest.rows(o, c.length, seed: 32)
    let dO = ScanUnderTest.dO(o, c.length - from, seed: 33)
    let expected = OracleScan.run(o, values, rows, from: from, dO: dO)
    let got = try ScanUnderTest(o).continued(values, rows, from: from, dO: dO)
    #expect(relativeError(got.o, expected.o.flatMap { $0 }) <= c.valueTolerance)
    let names = Set(["u", "uv", "q"])
    compare(
      got.gradients, expected.gradients.filter { names.contains($0.key) }, c.gradientTolerance)
  }

  /// The same stream in odd pieces: the same bits as in one, outputs and state.
  @Test(arguments: OracleCase.all)
  func piecesOfAStreamHaveTheBitsOfTheWhole(_ c: OracleCase) throws {
    let o = c.options
    let values = o.randomParameters(seed: 41)
    let rows = ScanUnderTest.rows(o, c.length, seed: 42)
    let scan = try ScanUnderTest(o)
    let whole = try scan.freshState(values)
    let all = try scan.advance(values, rows, 0..<c.length, whole)
    for sizes in [[1], [2, 3], [5, 1, 7], [13]] {
      let state = try scan.freshState(values)
      var pieces: [Float] = []
      var at = 0
      var i = 0
      while at < c.length {
        let end = min(at + sizes[i % sizes.count], c.length)
        pieces += try scan.advance(values, rows, at..<end, state)
        at = end
        i += 1
      }
      #expect(pieces.map(\.bitPattern) == all.map(\.bitPattern), "pieces of \(sizes)")
      let count = o.heads * scan.spec.stateSize
      let a = scan.weights((0..<count).map { state.floats[$0] })
      let b = scan.weights((0..<count).map { whole.floats[$0] })
      #expect(a == b, "state after pieces of \(sizes)")
    }
  }

  /// Writing on, off over chunk boundaries, and on again.
  @Test(arguments: OracleCase.all)
  func writingCanPause(_ c: OracleCase) throws {
    let o = c.options
    let length = 63
    let values = o.randomParameters(seed: 51)
    let rows = ScanUnderTest.rows(o, length, seed: 52)
    let expected = OracleScan.pausing(o, values, rows, off: 10..<37)
    let scan = try ScanUnderTest(o)
    let state = try scan.freshState(values)
    var got = try scan.advance(values, rows, 0..<10, state)
    got += try scan.advance(values, rows, 10..<24, state, writes: false)
    got += try scan.advance(values, rows, 24..<37, state, writes: false)
    got += try scan.advance(values, rows, 37..<length, state)
    #expect(
      relativeError(got.map { Double($0) }, expected.o.flatMap { $0 }) <= 2 * c.valueTolerance)
    let weights = scan.weights((0..<o.heads * scan.spec.stateSize).map { state.floats[$0] })
    for (name, w) in expected.state.weights(o) {
      #expect(relativeError(weights[name]!, w) <= 2 * c.valueTolerance, "final \(name)")
    }
  }

  /// Each tensor within the tolerance, up to a share of the whole gradient that rounding alone can make.
  private func compare(
    _ got: [String: [Double]], _ expected: [String: [Double]], _ tolerance: Double
  ) {
    let names = expected.keys.sorted()
    let all = names.flatMap { expected[$0]! }
    #expect(relativeError(names.flatMap { got[$0]! }, all) <= tolerance)
    let size = all.reduce(0) { $0 + $1 * $1 }.squareRoot()
    for name in names {
      let difference = zip(got[name]!, expected[name]!).reduce(0) {
        $0 + ($1.0 - $1.1) * ($1.0 - $1.1)
      }
      .squareRoot()
      let norm = expected[name]!.reduce(0) { $0 + $1 * $1 }.squareRoot()
      #expect(
        difference <= tolerance * norm + 1e-6 * size,
        "gradient of \(name): \(difference) of \(norm)")
    }
  }
}
