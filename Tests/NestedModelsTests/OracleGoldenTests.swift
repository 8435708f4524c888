import Oracle
import Testing

/// The oracle against the papers' printed and worked-out numbers (paper.md 2.8, 3.1, 4.2).
@Suite struct OracleGoldenTests {
  private func close(_ a: [Double], _ b: [Double], _ tolerance: Double = 1e-12) -> Bool {
    a.count == b.count && zip(a, b).allSatisfy { abs($0 - $1) <= tolerance }
  }
  private func memory(_ w: [Double], residual: Bool) -> OracleMemory {
    OracleMemory(weights: [Matrix(2, 2, w.map { Num($0) })], residual: residual, written: true)
  }

  @Test func deltaGradientDescentHasTheGoldenValues() {
    let tape = ScalarTape()
    var m = memory([1, 0, 0, 1], residual: false)
    m.step(
      tape, 0, z: [Num(0.6), Num(0.8)], g: [Num(1), Num(-1)], Num(0.5), Num(1), 0,
      decaysAlongInput: true)
    #expect(close(m.weights[0].values, [0.52, -0.64, 0.06, 1.08]))
  }

  @Test func oneWriteHasTheGoldenValues() {
    let tape = ScalarTape()
    var m = memory([1, 0, 0, 1], residual: false)
    m.write(
      tape, k: [Num(0.6), Num(0.8)], target: [Num(1), Num(0)], eta: Num(0.1), alpha: Num(0.9),
      options: OracleOptions())
    #expect(close(m.weights[0].values, [0.888, -0.016, -0.096, 0.772]))
  }

  /// Without the residual, M k → v/2 (l2) and v (dot); with it, (k + v)/2 and k + v (SPEC 2).
  @Test(arguments: [(OracleOptions.Objective.l2, 0.5), (.dot, 1.0)])
  func repeatedWritesReachTheFixedPoint(objective: OracleOptions.Objective, share: Double) {
    let tape = ScalarTape()
    var o = OracleOptions()
    o.objective = objective
    let k = [0.6, 0.8]
    let v = [0.3, -0.7]
    for residual in [false, true] {
      var m = memory([0.2, -0.1, 0.4, 0.3], residual: residual)
      for _ in 0..<400 {
        m.beginChunk()
        m.write(
          tape, k: k.map { Num($0) }, target: v.map { Num($0) }, eta: Num(0.3), alpha: Num(1),
          options: o)
      }
      let out = m.now(tape, k.map { Num($0) }).map(\.value)
      let goal = zip(k, v).map { k, v in
        switch (objective, residual) {
        case (_, false): v * share
        case (.l2, true): (k + v) / 2
        case (.dot, true): k + v
        }
      }
      #expect(close(out, goal, 1e-10))
    }
  }

  /// paper.md 3.1: θ = 1, y = θ x, loss ½ y², x = 1, 2, 3, 4, learning rate 0.05. A chunk's gradients are
  /// summed at frozen θ and applied when the clock reaches a multiple of C.
  @Test(arguments: [
    (1, [0.95, 0.76, 0.418, 0.0836]), (2, [1, 0.75, 0.75, -0.1875]), (4, [1, 1, 1, -0.5]),
  ])
  func levelClockHasTheGoldenValues(chunk: Int, expected: [Double]) {
    var optimizer = OracleOptimizer(.sgd)
    var values = ["θ": [1.0]]
    var pending = 0.0
    var seen: [Double] = []
    for i in 1...4 {
      let tape = ScalarTape()
      let theta = tape.leaf(values["θ"]![0])
      let y = tape.scale(theta, Double(i))
      pending += tape.backward([(tape.scale(tape.multiply(y, y), 0.5), 1)]).of(theta)
      if i % chunk == 0 {
        optimizer.step(&values, ["θ": [pending]], lr: 0.05, decays: { _ in false })
        pending = 0
      }
      seen.append(values["θ"]![0])
    }
    #expect(close(seen, expected))
  }
}
