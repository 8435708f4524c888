import Glibc
import NestedBase
import NestedCheckpoint
import NestedModels
import NestedTensor
import NestedTraining
import Oracle
import Testing

/// What must hold bit for bit: a stream's result depends on the stream only (SPEC 3, "Modes of a session").
@Suite struct SessionBitsTests {
  private func options() -> OracleOptions {
    var o = OracleOptions()
    (o.vocab, o.layers, o.heads, o.headDim) = (37, 2, 2, 16)
    (o.memoryChunk, o.projectionChunk) = (16, 8)
    o.levels = [
      .init(chunk: 16, hidden: 24, optimizer: .momentum, lr: 0.02),
      .init(chunk: 48, hidden: 20, optimizer: .adamw, lr: 0.001), .init(chunk: 96, hidden: 24),
      .init(chunk: 0, hidden: 24),
    ]
    return o
  }
  private func model(_ o: OracleOptions, threads: Int = 1) throws -> Model {
    try Model.matching(o, o.randomParameters(seed: 301), threads: threads)
  }
  private func tokens(_ count: Int, _ seed: UInt64 = 302) -> [Int] {
    var random = OracleRandom(seed)
    return random.tokens(count, vocab: 37)
  }
  private func bits(_ x: [Float]) -> [UInt32] { x.map(\.bitPattern) }

  /// Everything a session shows of its levels.
  private func view(_ session: Session) throws -> [LevelInfo] {
    var out: [LevelInfo] = []
    for layer in 0..<2 {
      for level in 0..<4 { out.append(try session.levelInfo(layer: layer, level: level)) }
    }
    return out
  }

  @Test(
    arguments: [LearnMode.on, .memory, .off], [[10], [1], [7, 1, 25], [16], [15, 2], [100, 3]])
  func theCutIntoCallsDoesNotMatter(mode: LearnMode, pieces: [Int]) throws {
    let model = try model(options())
    let tokens = tokens(251)
    let whole = try Session(model: model, learn: mode, seed: 0)
    let all = try whole.read(tokens)
    let cut = try Session(model: model, learn: mode, seed: 0)
    #expect(bits(try cut.read(tokens, pieces: pieces)) == bits(all))
    #expect(try cut.online == whole.online)
    #expect(try view(cut) == view(whole))
    #expect(try cut.state(bytes: ()) == whole.state(bytes: ()))
  }

  @Test(arguments: OracleCase.all.filter { $0.length > 1 })
  func theCutDoesNotMatterForAnyMemory(_ c: OracleCase) throws {
    var o = c.options
    o.levels = [.init(chunk: 6, hidden: 9), .init(chunk: 12, hidden: 8)]
    let model = try Model.matching(o, o.randomParameters(seed: 311))
    var random = OracleRandom(312)
    let tokens = random.tokens(40, vocab: o.vocab)
    let whole = try Session(model: model, learn: .on, seed: 0)
    let all = try whole.read(tokens)
    for pieces in [[1], [5, 2, 9]] {
      let cut = try Session(model: model, learn: .on, seed: 0)
      #expect(bits(try cut.read(tokens, pieces: pieces)) == bits(all))
      #expect(try cut.online == whole.online)
    }
  }

  /// The cut, the threads, and a file in the middle, for every optimizer that a level may name.
  @Test(arguments: OracleOptions.LevelRule.allCases)
  func theCutAndAFileDoNotMatterForAnyOptimizer(rule: OracleOptions.LevelRule) throws {
    var o = options()
    for l in 0..<3 {
      o.levels[l].optimizer = rule
      o.levels[l].lr = rule == .m3Literal ? 1e-6 : 0.001
    }
    let tokens = tokens(251)
    let whole = try Session(model: model(o), learn: .on, seed: 0)
    let all = bits(try whole.read(tokens))
    let threaded = try model(o, threads: 3)
    let first = try Session(model: threaded, learn: .on, seed: 0)
    var got = bits(try first.read(Array(tokens[..<130]), pieces: [7, 1, 25]))
    let second = try Session(model: threaded, learn: .memory, seed: 1)
    try second.restore(SessionState(model: threaded, bytes: first.snapshot().bytes()))
    got += bits(try second.read(Array(tokens[130...]), pieces: [50, 3]))
    #expect(got == all)
    #expect(try second.online == whole.online)
    #expect(try second.state(bytes: ()) == whole.state(bytes: ()))
    #expect(whole.updates == 2 * (15 + 5 + 2))
  }

  /// Memory refused at the k-th allocation, for every k: the session stands at a committed piece, and goes on with
  /// the bits of a session that was never refused.
  @Test(arguments: [LearnMode.on, .memory])
  func noAllocationFailureLosesAnything(mode: LearnMode) throws {
    let (o, tokens) = (options(), tokens(90))
    let reference = try Session(model: model(o), learn: mode, seed: 0)
    let expected = bits(Array(try reference.read(tokens).suffix(37)))
    var failures = 0
    while true {
      let model = try model(o)
      let session = try Session(model: model, learn: mode, seed: 0)
      _ = try session.read(Array(tokens[..<10]))
      model.runtime.budget.refuse(allocation: failures + 1)
      do {
        _ = try session.read(Array(tokens[10..<75]))
        model.runtime.budget.refuse(allocation: 0)
        break
      } catch let error as NestedError {
        #expect(error.code == .noMemory)
      }
      failures += 1
      #expect(session.position == 10 || session.position % 16 == 0)
      let rest = try session.read(Array(tokens[session.position...]))
      #expect(bits(Array(rest.suffix(37))) == expected)
      #expect(try session.online == reference.online)
    }
    #expect(failures > 20)
  }

  @Test func threadsDoNotMatter() throws {
    let tokens = tokens(200)
    let one = try Session(model: model(options(), threads: 1), learn: .on, seed: 0)
    let three = try Session(model: model(options(), threads: 3), learn: .on, seed: 0)
    #expect(bits(try three.read(tokens)) == bits(try one.read(tokens)))
    #expect(try three.online == one.online)
  }

  /// Saved at any position, within segments and pending sums, and continued: as if it had gone on.
  @Test(arguments: [0, 1, 15, 16, 17, 47, 48, 55, 96, 101], [LearnMode.on, .memory, .off])
  func savedAndLoadedEqualsContinued(at: Int, mode: LearnMode) throws {
    let model = try model(options())
    let tokens = tokens(220)
    let session = try Session(model: model, learn: mode, seed: 9)
    try session.read(Array(tokens[..<at]), pieces: [9])
    let path = temporary("session-\(at)-\(mode.rawValue).safetensors")
    defer { unlink(path) }
    try session.snapshot().save(path: FilePath(path), control: quiet)
    let loaded = try Session.load(model: model, path: FilePath(path), control: quiet)
    let fromBytes = try Session(model: model, learn: .memory, seed: 0)
    try fromBytes.restore(SessionState(model: model, bytes: session.snapshot().bytes()))
    #expect(loaded.position == at && loaded.learn == mode && loaded.seed == 9)
    let rest = Array(tokens[at...])
    let goal = try session.read(rest)
    #expect(bits(try loaded.read(rest, pieces: [13])) == bits(goal))
    #expect(bits(try fromBytes.read(rest, pieces: [50])) == bits(goal))
    #expect(try loaded.online == session.online)
    #expect(try view(loaded) == view(session))
    #expect(try loaded.state(bytes: ()) == session.state(bytes: ()))
  }

  /// A delta is the levels' weights and nothing else: a fresh stream that knows what the other has learnt.
  @Test(arguments: [0, 20, 101])
  func aDeltaIsWhatTheLevelsLearnt(at: Int) throws {
    let model = try model(options())
    let session = try Session(model: model, learn: .on, seed: 9)
    try session.read(tokens(at))
    let bytes = try session.snapshot().bytes(delta: true)
    #expect(try bytes.count < 4096 + session.snapshot().bytes().count / 2)
    let learnt = try Session(model: model, learn: .memory, seed: 0)
    try learnt.restore(SessionState(model: model, bytes: bytes))
    #expect(learnt.position == 0 && learnt.learn == .on && learnt.seed == 9)
    #expect(try learnt.online == session.online)
    #expect(learnt.updates == session.updates)
    #expect(try learnt.snapshot().bytes(delta: true) == bytes)
    // Consolidation sees the same in both.
    let merged = { (sessions: [Session]) throws in
      try consolidate(model: model, sessions: sessions, options: ConsolidationOptions(), control: quiet).bytes()
    }
    #expect(try merged([learnt]) == merged([session]))
    try learnt.read(tokens(60, 323))
    #expect(learnt.position == 60)
  }

  @Test func aDeltaIsRefusedOnOtherWeights() throws {
    let session = try Session(model: model(options()), learn: .on, seed: 9)
    try session.read(tokens(40))
    let bytes = try session.snapshot().bytes(delta: true)
    let other = try Model.matching(options(), options().randomParameters(seed: 302))
    #expect { try SessionState(model: other, bytes: bytes) } throws: {
      ($0 as? NestedError)?.code == .mismatch && ($0 as? NestedError)?.place == "nested.weights"
    }
    // The whole session is not bound to the weights.
    _ = try SessionState(model: other, bytes: session.snapshot().bytes())
  }

  /// A fork and a snapshot are copies: neither side sees the other's steps, and restoring goes back exactly.
  @Test(arguments: [0, 20, 48, 61])
  func forksAndSnapshotsAreIndependent(at: Int) throws {
    let model = try model(options())
    let session = try Session(model: model, learn: .on, seed: 0)
    try session.read(tokens(at))
    let before = try session.state(bytes: ())
    let snapshot = try session.snapshot()
    let fork = try session.fork()
    let a = tokens(90, 321)
    let b = tokens(90, 322)
    let first = try session.read(a)
    let other = try fork.read(b)
    #expect(bits(first) != bits(other))
    // Alone, each stream gives the same.
    let alone = try Session(model: model, learn: .on, seed: 0)
    try alone.read(tokens(at))
    #expect(bits(try alone.read(b)) == bits(other))
    #expect(try alone.state(bytes: ()) == fork.state(bytes: ()))
    // Back and once more.
    try session.restore(snapshot)
    #expect(try session.state(bytes: ()) == before)
    #expect(bits(try session.read(a, pieces: [11])) == bits(first))
    try session.restore(snapshot)
    #expect(bits(try session.read(b)) == bits(other))
    // And to the very beginning.
    try session.reset()
    #expect(
      try session.state(bytes: ()) == Session(model: model, learn: .on, seed: 0).state(bytes: ()))
    try session.read(tokens(at))
    #expect(try session.state(bytes: ()) == before)
  }

  /// Scores are what feeding would say, in the session's mode, and leave the session as it was.
  @Test(arguments: [LearnMode.on, .memory, .off])
  func scoringLeavesTheSessionAlone(mode: LearnMode) throws {
    let model = try model(options())
    let session = try Session(model: model, learn: mode, seed: 0)
    try session.read(tokens(40))
    let before = try session.state(bytes: ())
    let text = tokens(70, 331)
    let (sum, scores) = try score(session, text)
    #expect(try session.state(bytes: ()) == before)
    let again = try score(session, text)
    #expect(bits(again.1) == bits(scores) && again.0 == sum)
    // The same from logits.
    var logits: [Float] = try output(session)
    logits += try session.read(text)
    var total = 0.0
    for (i, token) in text.enumerated() {
      let row = logits[i * 37..<(i + 1) * 37].map { Double($0) }
      let top = row.max()!
      let value = row[token] - top - log(row.reduce(0) { $0 + exp($1 - top) })
      #expect(abs(value - Double(scores[i])) < 1e-5)
      total += value
    }
    #expect(abs(total - sum) < 1e-3)
  }

  /// A level that is reset is the model's again and learns on from there; the others keep what they learnt.
  @Test func aLevelCanBeReset() throws {
    let model = try model(options())
    let session = try Session(model: model, learn: .on, seed: 0)
    try session.read(tokens(60))
    let before = try view(session)
    try session.resetLevels(layer: 1, level: 0)
    let after = try view(session)
    #expect(after[4].deltaNorm == 0 && after[4].updates == 0 && after[4].pendingNorm == 0)
    #expect(before[4].deltaNorm > 0)
    for i in [0, 1, 5] {
      #expect(after[i].deltaNorm == before[i].deltaNorm && before[i].deltaNorm > 0)
    }
    try session.read(tokens(40, 342))
    #expect(try session.levelInfo(layer: 1, level: 0).updates == 3)
    #expect(session.position == 100)
  }

  /// Many sessions of one model in threads of their own: each as if it were alone.
  @Test func parallelSessionsAreIndependent() throws {
    let model = try model(options(), threads: 2)
    let alone = try (0..<6).map { i in
      let session = try Session(model: model, learn: .on, seed: 0)
      return bits(try session.read(tokens(130, 340 + UInt64(i)), pieces: [1 + i, 20]))
    }
    nonisolated(unsafe) var results = [[UInt32]](repeating: [], count: 6)
    let lock = Lock()
    let texts = (0..<6).map { tokens(130, 340 + UInt64($0)) }
    onThreads(6) { i in
      guard let session = try? Session(model: model, learn: .on, seed: 0),
        let out = try? session.read(texts[i], pieces: [1 + i, 20])
      else { return }
      let bits = out.map(\.bitPattern)
      lock.with { results[i] = bits }
    }
    #expect(results == alone)
  }

  /// The clock over 10⁴ tokens: counts and positions exact, whatever the pieces.
  @Test func theClockIsExactOverTenThousandTokens() throws {
    var o = OracleOptions()
    (o.vocab, o.headDim) = (5, 4)
    o.levels = [
      .init(chunk: 8, hidden: 4), .init(chunk: 24, hidden: 4), .init(chunk: 240, hidden: 4),
      .init(chunk: 0, hidden: 4),
    ]
    o.segment = 8
    let session = try Session(
      model: Model.matching(o, o.randomParameters(seed: 351)), learn: .on, seed: 0)
    var random = OracleRandom(352)
    var fed = 0
    while fed < 10_001 {
      let count = min(1 + Int(random.next() % 97), 10_001 - fed)
      try session.read(random.tokens(count, vocab: 5))
      fed += count
      #expect(session.position == fed)
      for (l, chunk) in [8, 24, 240].enumerated() {
        let info = try session.levelInfo(layer: 0, level: l)
        let updates = (fed - 1) / chunk  // the step of tick i is made when token i + 1 arrives
        #expect(info.updates == updates && info.lastUpdate == (updates > 0 ? updates * chunk : -1))
        #expect(info.nextUpdate == (fed / chunk + 1) * chunk)
      }
    }
    #expect(session.updates == 10_000 / 8 + 10_000 / 24 + 10_000 / 240)
    #expect(session.skipped == 0)
    let last = try session.levelInfo(layer: 0, level: 3)
    #expect(last.updates == 0 && last.nextUpdate == -1 && last.deltaNorm == 0)
  }

  /// paper.md 3.4: with learning rates 0 the model is the pre-trained one, bit for bit.
  @Test func learningRateZeroIsThePretrainedModel() throws {
    var o = options()
    for l in 0..<3 {
      o.levels[l].optimizer = .sgd
      o.levels[l].lr = 0
    }
    let model = try model(o)
    let learning = try Session(model: model, learn: .on, seed: 0)
    let plain = try Session(model: model, learn: .memory, seed: 0)
    let tokens = tokens(130)
    #expect(bits(try learning.read(tokens)) == bits(try plain.read(tokens)))
    #expect(learning.updates > 0)
    // And a stream without learning is the model's own forward pass.
    let logits = try model.logits(rows: [tokens])
    #expect(try plain.fork().model === model)
    let stream = try Session(model: model, learn: .memory, seed: 0).read(tokens)
    #expect(relativeError(stream.map { Double($0) }, logits) < 1e-5)
  }

  // MARK: Helpers

  private func score(_ session: Session, _ text: [Int]) throws -> (Double, [Float]) {
    let tokens = text.map { Int32($0) }
    var scores = [Float](repeating: .nan, count: tokens.count)
    let sum = try tokens.withUnsafeBufferPointer { tokens in
      try scores.withUnsafeMutableBufferPointer { scores in
        try session.score(
          tokens: Tokens(tokens.baseAddress!), count: tokens.count,
          logprobs: Floats(scores.baseAddress!),
          control: quiet)
      }
    }
    return (sum, scores)
  }

  private func output(_ session: Session) throws -> [Float] {
    var out = [Float](repeating: .nan, count: session.model.configuration.vocab)
    try out.withUnsafeMutableBufferPointer { try session.output(into: Floats($0.baseAddress!)) }
    return out
  }

  private func temporary(_ name: String) -> String { "/tmp/nested-test-\(getpid())-\(name)" }
}

extension Session {
  /// The whole state as the bytes of a file: what is equal here is equal in everything that is kept.
  fileprivate func state(bytes: Void) throws -> [UInt8] { try snapshot().bytes() }
}

/// A lock and threads from the C library: tests of the library use what its hosts use.
private final class Lock: @unchecked Sendable {
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  init() { pthread_mutex_init(mutex, nil) }
  deinit {
    pthread_mutex_destroy(mutex)
    mutex.deallocate()
  }
  func with(_ body: () -> Void) {
    pthread_mutex_lock(mutex)
    body()
    pthread_mutex_unlock(mutex)
  }
}

private final class Job {
  let index: Int
  let body: @Sendable (Int) -> Void
  init(_ index: Int, _ body: @escaping @Sendable (Int) -> Void) {
    self.index = index
    self.body = body
  }
}

/// Runs body(0..<count), each on a thread of its own.
private func onThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
  var threads: [pthread_t] = []
  for i in 0..<count {
    var thread = pthread_t()
    let job = Unmanaged.passRetained(Job(i, body)).toOpaque()
    let status = pthread_create(
      &thread, nil,
      { pointer in
        let job = Unmanaged<Job>.fromOpaque(pointer!).takeRetainedValue()
        job.body(job.index)
        return nil
      }, job)
    precondition(status == 0)
    threads.append(thread)
  }
  for thread in threads { pthread_join(thread, nil) }
}
