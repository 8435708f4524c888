import Oracle
import Testing

/// The oracle against itself: central differences, and SPEC 2's chunked formula against the recurrence.
@Suite struct OracleSelfTests {
  private func options(_ change: (inout OracleOptions) -> Void) -> OracleOptions {
    var o = OracleOptions()
    o.vocab = 7
    o.headDim = 3
    o.heads = 2
    o.memoryChunk = 3
    o.projectionChunk = 2
    o.levels = [.init(chunk: 4, hidden: 5), .init(chunk: 0, hidden: 4)]
    change(&o)
    return o
  }

  private static let cases: [@Sendable (inout OracleOptions) -> Void] = [
    { _ in },
    { o in o.memory = .mlp },
    { o in
      o.memory = .mlp
      o.objective = .dot
      o.outerRule = .decay
      o.innerMomentum = 0.4
    },
    { o in
      o.innerRule = .gd
      o.innerMomentum = 0.6
      o.adaptiveQ = true
      o.adapt = ["k", "mem", "q"]
      o.inputProjection = .shared
    },
    { o in
      o.read = .chunk
      o.normalizeValue = false
      o.etaMax = 0.1
      o.retention = false
      o.inputProjection = .none
      o.feed = .gelu
      o.tied = false
      o.layers = 2
    },
  ]

  /// One random direction in every parameter: the directional derivative by central differences.
  @Test(arguments: cases.indices)
  func gradientsAgreeWithCentralDifferences(index: Int) {
    let o = options(Self.cases[index])
    let values = o.randomParameters(seed: 5)
    var random = OracleRandom(9)
    let tokens = random.tokens(8, vocab: o.vocab)
    let run = OracleHope.run(o, values, tokens, gradients: true)
    for name in run.gradients.keys.sorted() {
      let direction = values[name]!.map { _ in random.normal() }
      func loss(_ step: Double) -> Double {
        var moved = values
        moved[name] = zip(values[name]!, direction).map { $0 + step * $1 }
        return OracleHope.run(o, moved, tokens, gradients: false).losses.reduce(0, +)
      }
      let h = 1e-4  // fourth order: error h⁴
      let numeric = (8 * (loss(h) - loss(-h)) - (loss(2 * h) - loss(-2 * h))) / (12 * h)
      let exact = zip(run.gradients[name]!, direction).reduce(0) { $0 + $1.0 * $1.1 }
      #expect(abs(numeric - exact) <= 1e-7 * max(1, abs(exact)), "\(name) in case \(index)")
    }
  }

  /// Truncation changes gradients only, and stops them at the right places.
  @Test func truncationKeepsValuesAndCutsTheInitialStatesGradient() {
    let o = options { $0.memoryChunk = 2 }
    var cut = o
    cut.truncateBPTT = 2
    let values = o.randomParameters(seed: 3)
    var random = OracleRandom(4)
    let tokens = random.tokens(9, vocab: o.vocab)
    let whole = OracleHope.run(o, values, tokens, gradients: true)
    let part = OracleHope.run(cut, values, tokens, gradients: true)
    #expect(whole.logits == part.logits)
    // The initial states see the first two chunks' losses alone: the later ones' gradient ends at the cut.
    var targets = [Int](tokens.dropFirst()) + [-1]
    for t in 4..<9 { targets[t] = -1 }
    let first = OracleHope.run(o, values, tokens, targets: targets, gradients: true)
    let name = "blocks.0.mixer.memory.mem.w"
    #expect(zip(part.gradients[name]!, first.gradients[name]!).allSatisfy { abs($0 - $1) < 1e-12 })
    #expect(whole.gradients[name]! != part.gradients[name]!)
  }

  /// SPEC 2: r_t + η_t Σ_{s<t} Γ(t-1, s)(z_s·z_t) r_s = η_t(Γ(t-1, c) W_c z_t + g_t), without momentum.
  @Test(arguments: [true, false])
  func chunkedFormulaEqualsTheRecurrence(dgd: Bool) {
    var random = OracleRandom(11)
    let tape = ScalarTape()
    let n = 9
    let d = 4
    let rows = 3
    let z = (0..<n).map { _ in (0..<d).map { _ in random.normal() } }
    let g = (0..<n).map { _ in (0..<rows).map { _ in random.normal() } }
    let eta = (0..<n).map { _ in random.uniform() }
    let alpha = (0..<n).map { _ in random.uniform() }
    let start = (0..<rows * d).map { _ in random.normal() }
    var m = OracleMemory(
      weights: [Matrix(rows, d, start.map { Num($0) })], residual: false, written: true)
    var r: [[Double]] = []
    func gamma(_ t: Int, _ s: Int) -> Double {  // Π_{s<j≤t} α_j; s = -1 is the chunk's start
      s >= t ? 1 : alpha[(s + 1)...t].reduce(1, *)
    }
    for t in 0..<n {
      m.step(
        tape, 0, z: z[t].map { Num($0) }, g: g[t].map { Num($0) }, Num(eta[t]), Num(alpha[t]), 0,
        decaysAlongInput: dgd)
      r.append(
        (0..<rows).map { i in
          var sum = g[t][i]
          if dgd {
            sum += gamma(t - 1, -1) * (0..<d).reduce(0) { $0 + start[i * d + $1] * z[t][$1] }
            for s in 0..<t {
              let zz = (0..<d).reduce(0) { $0 + z[s][$1] * z[t][$1] }
              sum -= gamma(t - 1, s) * zz * r[s][i]
            }
          }
          return eta[t] * sum
        })
      for i in 0..<rows {
        for j in 0..<d {
          var w = gamma(t, -1) * start[i * d + j]
          for s in 0...t { w -= gamma(t, s) * r[s][i] * z[s][j] }
          #expect(abs(w - m.weights[0].data[i * d + j].value) < 1e-10)
        }
      }
    }
  }

  @Test func threeMillionNodesWork() {
    let tape = ScalarTape()
    let x = tape.leaf(1)
    var y = x
    for _ in 0..<3_000_000 { y = tape.scale(y, 0.9999999) }
    #expect(abs(tape.backward([(y, 1)]).of(x) - y.value) < 1e-9)
  }
}
