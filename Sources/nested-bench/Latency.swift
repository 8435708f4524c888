/// How long single tokens take, in microseconds.
struct Latency {
  let model: String
  let learn: Learn
  let tokens: Int
  let median: Double
  let percentile99: Double
  let longest: Double
  let inside: Double  // median of the tokens inside a segment
  let closing: Double  // of those that close one: gradients, and a step of the first level
  let slow: Double  // and of those at which the second level steps as well; NaN: there were none
  let mean: Double

  /// Feeds 4096 tokens, one a call, and goes on until the time is up; fewer where that takes long.
  init(_ model: Model, _ text: Text, _ learn: Learn, seconds: Double) throws {
    let session = try Session(model, learn)
    let warm = max(1024, model.slowPeriod) + model.segment
    try session.feed(text.take(warm), warm)
    for _ in 0..<2 * model.segment { try session.feed(text.take(1), 1) }
    var position = warm + 2 * model.segment
    let capacity = 16384
    var all: [Double] = []
    all.reserveCapacity(capacity)
    var kinds: [Int] = []  // 0 inside, 1 closes a segment, 2 the slow level steps too
    kinds.reserveCapacity(capacity)
    let start = now()
    while all.count < capacity {
      let elapsed = now() - start
      if all.count >= 4096 && elapsed > seconds { break }
      if all.count >= 1024 && elapsed > 5 * seconds { break }
      let token = text.take(1)
      let before = now()
      try session.feed(token, 1)
      all.append(1e6 * (now() - before))
      let closes = position % model.segment == 0
      kinds.append(
        closes ? (model.slowPeriod > 0 && position % model.slowPeriod == 0 ? 2 : 1) : 0)
      position += 1
    }
    _ = try session.stateBytes()
    func median(_ kind: Int) -> Double {
      percentile(zip(all, kinds).filter { $0.1 == kind }.map { $0.0 }.sorted(), 0.5)
    }
    let sorted = all.sorted()
    self.model = model.preset
    self.learn = learn
    tokens = all.count
    self.median = percentile(sorted, 0.5)
    percentile99 = percentile(sorted, 0.99)
    longest = sorted.last ?? .nan
    inside = median(0)
    closing = median(1)
    slow = median(2)
    mean = all.reduce(0, +) / Double(all.count)
  }
}
