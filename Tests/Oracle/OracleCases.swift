/// One row of the table of option combinations that the library is compared on.
package struct OracleCase: Sendable, CustomStringConvertible {
  package let name: String
  package let options: OracleOptions
  package let length: Int  // T
  package let valueTolerance: Double
  package let gradientTolerance: Double
  package var description: String { "\(name), T = \(length)" }

  /// Tolerances of SPEC 6: values 1e-5, gradients 1e-4, with inner momentum 1e-4 for both.
  package init(_ name: String, _ length: Int, _ change: (inout OracleOptions) -> Void) {
    var o = OracleOptions()
    o.vocab = 13
    change(&o)
    self.name = name
    self.length = length
    options = o
    valueTolerance = o.innerMomentum > 0 ? 1e-4 : 1e-5
    gradientTolerance = 1e-4
  }
}

extension OracleCase {
  package static let all: [OracleCase] = named + mixed

  /// Every flag at least once, and the pairs that interact.
  private static let named: [OracleCase] = [
    OracleCase("defaults", 63) { _ in },
    OracleCase("one token", 1) { _ in },
    OracleCase("three odd heads, chunks that do not divide", 31) { o in
      (o.headDim, o.heads, o.memoryChunk, o.projectionChunk) = (5, 3, 4, 7)
    },
    OracleCase("head width 16, chunks 16", 63) { o in (o.headDim, o.heads) = (16, 3) },
    OracleCase("chunks of one token", 31) { o in (o.memoryChunk, o.projectionChunk) = (1, 1) },
    OracleCase("chunk longer than the row", 7) { o in (o.memoryChunk, o.projectionChunk) = (64, 32)
    },
    OracleCase("two layers, untied, gelu", 31) { o in
      (o.layers, o.tied, o.feed, o.heads, o.headDim) = (2, false, .gelu, 2, 5)
    },
    OracleCase("one level that never updates", 7) { o in o.levels = [.init(chunk: 0, hidden: 12)] },
    OracleCase("dot", 63) { o in o.objective = .dot },
    OracleCase("gd", 31) { o in (o.innerRule, o.memoryChunk) = (.gd, 4) },
    OracleCase("momentum", 31) { o in (o.innerMomentum, o.memoryChunk) = (0.7, 4) },
    OracleCase("momentum, gd", 31) { o in
      (o.innerMomentum, o.innerRule, o.memoryChunk, o.projectionChunk) = (0.6, .gd, 7, 3)
      o.etaMax = 0.3  // with 1 the memories oscillate and the gradient's condition is beyond float32
    },
    OracleCase("no retention", 31) { o in (o.retention, o.etaMax) = (false, 0.5) },
    OracleCase("values not normalised", 31) { o in (o.normalizeValue, o.etaMax) = (false, 0.1) },
    OracleCase("shared input", 31) { o in (o.inputProjection, o.heads) = (.shared, 3) },
    OracleCase("no input projection", 31) { o in (o.inputProjection, o.heads) = (.none, 3) },
    OracleCase("adaptive query", 31) { o in
      (o.adaptiveQ, o.projectionChunk) = (true, 5)
      o.adapt.insert("q")
    },
    OracleCase("adaptive query that is not written", 31) { o in (o.adaptiveQ, o.heads) = (true, 3)
    },
    OracleCase("only the main memory adapts", 31) { o in o.adapt = ["mem"] },
    OracleCase("only projections adapt", 31) { o in o.adapt = ["k", "v"] },
    OracleCase("only step sizes adapt", 31) { o in o.adapt = ["eta", "alpha"] },
    OracleCase("nothing adapts", 31) { o in o.adapt = [] },
    OracleCase("chunk read", 63) { o in (o.read, o.memoryChunk) = (.chunk, 8) },
    OracleCase("chunk read, dot, momentum", 31) { o in
      (o.read, o.objective, o.innerMomentum, o.memoryChunk) = (.chunk, .dot, 0.5, 5)
    },
    OracleCase("truncated", 31) { o in
      (o.memoryChunk, o.projectionChunk, o.truncateBPTT) = (4, 4, 2)
    },
    OracleCase("truncated, momentum, mlp", 31) { o in
      (o.memory, o.innerMomentum) = (.mlp, 0.5)
      (o.memoryChunk, o.projectionChunk, o.truncateBPTT) = (4, 2, 3)
    },
    OracleCase("truncated away from the projections' chunks", 31) { o in
      (o.memoryChunk, o.projectionChunk, o.truncateBPTT) = (4, 7, 1)
    },
    OracleCase("mlp", 63) { o in o.memory = .mlp },
    OracleCase("mlp, one token", 1) { o in (o.memory, o.heads, o.headDim) = (.mlp, 3, 5) },
    OracleCase("mlp, decay", 31) { o in (o.memory, o.outerRule, o.memoryChunk) = (.mlp, .decay, 4)
    },
    OracleCase("mlp, gd", 31) { o in (o.memory, o.innerRule, o.expansion) = (.mlp, .gd, 3) },
    OracleCase("mlp, dot", 31) { o in (o.memory, o.objective, o.heads) = (.mlp, .dot, 3) },
    OracleCase("mlp, momentum, decay, chunk read", 31) { o in
      (o.memory, o.innerMomentum, o.outerRule, o.read) = (.mlp, 0.5, .decay, .chunk)
      (o.memoryChunk, o.projectionChunk) = (5, 3)
    },
    OracleCase("mlp, adaptive query, subset", 31) { o in
      (o.memory, o.adaptiveQ, o.adapt) = (.mlp, true, ["q", "v", "mem"])
      (o.memoryChunk, o.projectionChunk, o.headDim) = (3, 8, 5)
    },
    OracleCase("independent levels", 31) { o in
      (o.variant, o.layers) = (.independent, 2)
      o.levels = [.init(chunk: 8, hidden: 9), .init(chunk: 16, hidden: 12), .init(chunk: 0, hidden: 16)]
    },
    OracleCase("independent, one gelu level, untied", 31) { o in
      (o.variant, o.feed, o.tied, o.heads) = (.independent, .gelu, false, 3)
      o.levels = [.init(chunk: 4, hidden: 24)]
    },
    OracleCase("the paper to the letter", 31) { o in
      (o.memory, o.expansion, o.outerRule, o.normalizeValue) = (.mlp, 4, .decay, false)
      (o.inputProjection, o.read, o.etaMax) = (.none, .chunk, 0.1)
    },
  ]

  /// Drawn once: combinations nobody thought of.
  private static let mixed: [OracleCase] = (0..<24).map { index in
    var random = OracleRandom(UInt64(1000 + index))
    func pick<T>(_ values: [T]) -> T { values[Int(random.next() % UInt64(values.count))] }
    let length = pick([7, 31])
    return OracleCase("mixed \(index)", length) { o in
      o.memory = pick([.linear, .mlp])
      o.objective = pick(OracleOptions.Objective.allCases)
      o.innerRule = pick([.dgd, .dgd, .gd])
      o.outerRule = pick(OracleOptions.OuterRule.allCases)
      o.innerMomentum = pick([0, 0, 0.5])
      o.retention = pick([true, true, false])
      o.normalizeValue = pick([true, true, false])
      o.inputProjection = pick(OracleOptions.InputProjection.allCases)
      o.adaptiveQ = pick([false, true])
      o.adapt = pick([
        ["k", "v", "eta", "alpha", "mem"], ["k", "mem"], ["v", "eta", "alpha"], ["alpha", "mem"],
      ])
      if o.adaptiveQ, pick([true, false]) { o.adapt.insert("q") }
      o.expansion = pick([1, 2, 3])
      o.memoryChunk = pick([1, 3, 4, 8, 16])
      o.projectionChunk = pick([1, 2, 5, 8, 16])
      o.read = pick(OracleOptions.Read.allCases)
      o.etaMax = o.normalizeValue ? pick([0.3, 1]) : 0.1
      o.truncateBPTT = pick([0, 0, 0, 2])
      o.feed = pick(OracleOptions.Feed.allCases)
      o.tied = pick([true, false])
      o.layers = pick([1, 1, 2])
      (o.headDim, o.heads) = pick([(8, 1), (5, 3), (16, 1), (8, 3)])
      o.levels = pick([
        [.init(chunk: 8, hidden: 9), .init(chunk: 0, hidden: 16)], [.init(chunk: 4, hidden: 24)],
      ])
    }
  }
}
