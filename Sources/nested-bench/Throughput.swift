import NestedBenchAllocations

/// One row of the throughput table.
struct Throughput {
  let model: String
  let work: String
  let tokensPerSecond: Spread
  let gigaflops: Double  // GFLOP/s at the median
  let storage: Double  // allocations of tensor storage per token, once warm
  let heap: Double  // calls of malloc and its like per token
}

/// Measures work on one model in rounds of a fixed number of tokens.
struct ThroughputBench {
  let context: Context
  let model: Model
  let text: Text
  let seconds: Double
  let minimum = 5  // rounds

  /// `warm` rounds first, which are not counted.
  func measure(
    _ work: String, tokens: Int, flops: Double, warm: Int, _ body: () throws -> Void
  ) throws -> Throughput {
    for _ in 0..<warm { try body() }
    let storage = try context.allocations()
    var calls = 0
    var heap: UInt64 = 0
    let times = try rounds(seconds: seconds, atLeast: minimum) {
      let before = nested_bench_allocations()
      try body()
      heap += nested_bench_allocations() - before
      calls += 1
    }
    let total = Double(calls * tokens)
    let rate = Spread(times.map { Double(tokens) / $0 })
    return Throughput(
      model: model.preset, work: work, tokensPerSecond: rate, gigaflops: rate.median * flops * 1e-9,
      storage: Double(try context.allocations() - storage) / total, heap: Double(heap) / total)
  }

  func training(rows: Int, length: Int) throws -> Throughput {
    let trainer = try Trainer(model)
    return try measure(
      "training, \(rows) x \(length)", tokens: rows * length, flops: model.cost.training, warm: 2
    ) { try trainer.step(text.take(rows * length), rows: rows, length: length) }
  }

  /// Long pieces. The warm-up passes the second level's period, so that all that will be there is.
  func feeding(_ learn: Learn) throws -> Throughput {
    let session = try Session(model, learn)
    let piece = 1024
    let result = try measure(
      "feed \(piece), \(learn)", tokens: piece,
      flops: learn == .on ? model.cost.learning : model.cost.forward, warm: 2
    ) { try session.feed(text.take(piece), piece) }
    _ = try session.stateBytes()
    return result
  }

  /// Token by token; a round is a segment.
  func decoding(_ learn: Learn) throws -> Throughput {
    let session = try Session(model, learn)
    let warm = 1 + max(1024, model.slowPeriod)
    try session.feed(text.take(warm), warm)
    let result = try measure(
      "token by token, \(learn)", tokens: model.segment,
      flops: learn == .on ? model.cost.learning : model.cost.forward, warm: 2
    ) { for _ in 0..<model.segment { try session.feed(text.take(1), 1) } }
    _ = try session.stateBytes()
    return result
  }

  func generation() throws -> Throughput {
    let session = try Session(model, .memory)
    try session.feed(text.take(64), 64)
    return try measure("generate 64", tokens: 64, flops: model.cost.forward, warm: 2) {
      try session.generate(64)
    }
  }
}
