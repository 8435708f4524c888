import Glibc
import NestedTensor
import Testing

@Suite struct ThreadPoolTests {
  /// Counts how often each index ran. Bodies write only to their own index.
  private final class Counts: @unchecked Sendable {
    let list: UnsafeMutablePointer<Int>
    let count: Int
    init(_ count: Int) {
      self.count = count
      list = .allocate(capacity: count + 1)
      list.initialize(repeating: 0, count: count + 1)
    }
    deinit { list.deallocate() }
    func all(_ n: Int) -> Bool { (0..<count).allSatisfy { list[$0] == n } }
  }

  @Test(arguments: [1, 2, 3, 8])
  func everyIndexRunsExactlyOnce(_ threads: Int) throws {
    let pool = try ThreadPool(threads: threads)
    for count in [0, 1, 2, 7, 17, 63, 1000, 20_000] {
      let counts = Counts(count)
      pool.parallel(count) { counts.list[$0] += 1 }
      #expect(counts.all(1), "\(count) indices on \(threads) threads")
    }
  }

  /// Many short jobs in a row, with pauses after which the workers sleep.
  @Test func jobsFollowEachOther() throws {
    let pool = try ThreadPool(threads: 3)
    let counts = Counts(5)
    for job in 0..<3000 {
      pool.parallel(5) { counts.list[$0] += 1 }
      if job % 500 == 0 { usleep(2000) }
    }
    #expect(counts.all(3000))
  }

  @Test func aCallInsideABodyRunsInPlace() throws {
    let pool = try ThreadPool(threads: 3)
    let counts = Counts(20 * 30)
    pool.parallel(20) { i in
      pool.parallel(30) { j in counts.list[i * 30 + j] += 1 }
    }
    #expect(counts.all(1))
  }

  @Test func twoCallersShareAPool() throws {
    let pool = try ThreadPool(threads: 3)
    let counts = [Counts(500), Counts(500)]
    try onThreads(2) { caller in
      for _ in 0..<200 { pool.parallel(500) { counts[caller].list[$0] += 1 } }
    }
    #expect(counts[0].all(200) && counts[1].all(200))
  }

  @Test func aPoolThatWasShutDownStillRunsJobs() throws {
    let pool = try ThreadPool(threads: 3)
    pool.shutdown()
    pool.shutdown()
    let counts = Counts(100)
    pool.parallel(100) { counts.list[$0] += 1 }
    #expect(counts.all(1))
  }
}

/// Runs body(0), …, body(count - 1), each on a thread of its own, and waits for all.
func onThreads(_ count: Int, stack: Int = 1 << 20, _ body: @escaping @Sendable (Int) -> Void) throws
{
  final class Work {
    let index: Int
    let body: @Sendable (Int) -> Void
    init(_ index: Int, _ body: @escaping @Sendable (Int) -> Void) {
      self.index = index
      self.body = body
    }
  }
  var threads: [pthread_t] = []
  for index in 0..<count {
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    pthread_attr_setstacksize(&attributes, stack)
    var thread = pthread_t()
    let status = pthread_create(
      &thread, &attributes,
      { argument in
        let work = Unmanaged<Work>.fromOpaque(argument!).takeRetainedValue()
        work.body(work.index)
        return nil
      }, Unmanaged.passRetained(Work(index, body)).toOpaque())
    pthread_attr_destroy(&attributes)
    try #require(status == 0)
    threads.append(thread)
  }
  for thread in threads { pthread_join(thread, nil) }
}
