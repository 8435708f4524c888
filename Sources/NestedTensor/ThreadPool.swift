internal import CNestedShims
package import NestedBase

/// Our own threads: the caller and `threads - 1` workers share the indices of a loop.
///
/// Which thread runs which index is left open, so a body writes only what belongs to its index;
/// results then have the same bits for any number of threads. A job allocates nothing.
package final class ThreadPool: @unchecked Sendable {
  package let threads: Int
  /// False where loops are skipped, because only the sizes of tensors are asked for (`Runtime.init(counting:)`).
  package let computes: Bool
  private let shared = PoolState()
  private var workers: [pthread_t] = []

  /// Starts the workers, with all signals blocked and 1 MiB of stack. `threads` is at least 1.
  package init(threads: Int, computes: Bool = true) throws(NestedError) {
    self.threads = max(1, threads)
    self.computes = computes
    workers.reserveCapacity(self.threads - 1)
    for _ in 1..<self.threads {
      var thread = pthread_t()
      let status = unsafe startWorker(&thread, shared)
      if status != 0 {
        shutdown()
        throw NestedError(
          .limit, "[threads] the system started \(workers.count + 1) of \(self.threads) threads",
          place: "n_threads", osError: status)
      }
      workers.append(thread)
    }
  }

  deinit { shutdown() }

  /// Runs body(0), …, body(count - 1), each once, and returns when all are done. While another
  /// caller's job is running, and inside a body, the calling thread does all of it by itself.
  package func parallel(_ count: Int, _ body: (Int) -> Void) {
    if !computes { return }
    if count <= 1 || threads == 1 || !shared.acquire() {
      for i in 0..<max(0, count) { body(i) }
      return
    }
    var words = unsafe nested_parallel_body()
    unsafe takeWords(body, &words)
    unsafe shared.run(count, words)
    shared.release()
  }

  /// Ends and joins the workers; later jobs run on their callers alone. Not during a job.
  package func shutdown() {
    shared.stop()
    for worker in workers { pthread_join(worker, nil) }
    workers.removeAll()
  }
}

/// C: nested_shim_parallel_body (parallel_body.h). The words are valid as long as `body` is.
@_silgen_name("nested_shim_parallel_body")
private func takeWords(_ body: (Int) -> Void, _ words: UnsafeMutablePointer<nested_parallel_body>)

/// What the caller and the workers share. Plain fields are read and written under `mutex`; the
/// counters beside them are hints to spin on and the next index to claim.
@safe private final class PoolState: @unchecked Sendable {
  private let mutex = Mutex()
  private let wake = Condition()
  private let done = Condition()
  /// [next index, generation, running, busy], each on its own cache line
  private let counters: UnsafeMutableRawPointer

  private var generation: Int64 = 0
  private var count = 0
  private var body = unsafe nested_parallel_body()
  /// Workers inside the job, and workers asleep.
  private var running: Int64 = 0
  private var sleeping = 0
  private var callerSleeps = false
  private var stopping = false

  private static let line = 64
  /// How long a thread spins before it sleeps: longer than the serial code between two jobs of a
  /// decoded token.
  private static let spinNanoseconds: UInt64 = 20_000

  init() {
    unsafe counters = .allocate(byteCount: 4 * PoolState.line, alignment: PoolState.line)
    for i in 0..<4 {
      unsafe counters.storeBytes(
        of: nested_atomic(value: 0), toByteOffset: i * PoolState.line, as: nested_atomic.self)
    }
  }
  deinit { unsafe counters.deallocate() }

  private func counter(_ i: Int) -> UnsafeMutablePointer<nested_atomic> {
    unsafe (counters + i * PoolState.line).assumingMemoryBound(to: nested_atomic.self)
  }
  private var nextIndex: UnsafeMutablePointer<nested_atomic> { unsafe counter(0) }
  private var generationHint: UnsafeMutablePointer<nested_atomic> { unsafe counter(1) }
  private var runningHint: UnsafeMutablePointer<nested_atomic> { unsafe counter(2) }
  private var busy: UnsafeMutablePointer<nested_atomic> { unsafe counter(3) }

  func acquire() -> Bool { unsafe nested_atomic_exchange(busy, 1) == 0 }
  func release() { unsafe nested_atomic_store(busy, 0) }

  /// The caller's side of a job; the pool is acquired.
  func run(_ count: Int, _ body: nested_parallel_body) {
    mutex.lock()
    self.count = count
    unsafe self.body = body
    unsafe nested_atomic_store(nextIndex, 0)
    generation += 1
    unsafe nested_atomic_store(generationHint, generation)
    let wanted = min(sleeping, count - 1)
    mutex.unlock()
    for _ in 0..<wanted { wake.signal() }
    unsafe work(count, body)
    // Workers that are in finish their last index; a worker that comes now finds the job closed.
    spin { unsafe nested_atomic_load(runningHint) == 0 }
    mutex.lock()
    while running > 0 {
      callerSleeps = true
      done.wait(mutex)
    }
    callerSleeps = false
    self.count = 0
    mutex.unlock()
  }

  /// Claims indices until none is left.
  private func work(_ count: Int, _ body: nested_parallel_body) {
    while true {
      let index = unsafe nested_atomic_add(nextIndex, 1)
      if index >= Int64(count) { return }
      unsafe nested_shim_parallel_call(body, index)
    }
  }

  /// A worker's life.
  func serve() {
    _ = nested_shim_float_enter()
    var seen: Int64 = 0
    while true {
      spin { unsafe nested_atomic_load(generationHint) != seen }
      mutex.lock()
      while generation == seen && !stopping {
        sleeping += 1
        wake.wait(mutex)
        sleeping -= 1
      }
      if stopping {
        mutex.unlock()
        return
      }
      seen = generation
      if count > 0 {
        let (count, body) = unsafe (self.count, self.body)
        running += 1
        unsafe nested_atomic_store(runningHint, running)
        mutex.unlock()
        unsafe work(count, body)
        mutex.lock()
        running -= 1
        unsafe nested_atomic_store(runningHint, running)
        if running == 0 && callerSleeps { done.signal() }
      }
      mutex.unlock()
    }
  }

  func stop() {
    mutex.withLock {
      stopping = true
      generation += 1
      unsafe nested_atomic_store(generationHint, generation)
    }
    wake.broadcast()
  }

  @inline(__always)
  private func spin(until ready: () -> Bool) {
    if ready() { return }
    let end = nested_shim_monotonic_nanoseconds() + PoolState.spinNanoseconds
    repeat {
      for _ in 0..<16 {
        if ready() { return }
        nested_spin_pause()
      }
    } while nested_shim_monotonic_nanoseconds() < end
  }
}

/// pthread_create with 1 MiB of stack and all signals blocked, so that the host's handlers run on
/// its own threads. The worker keeps `state` alive. Returns 0 or an errno value.
private func startWorker(_ thread: UnsafeMutablePointer<pthread_t>, _ state: PoolState) -> Int32 {
  var attributes = pthread_attr_t()
  unsafe pthread_attr_init(&attributes)
  defer { unsafe pthread_attr_destroy(&attributes) }
  unsafe pthread_attr_setstacksize(&attributes, 1 << 20)
  var all = sigset_t()
  var before = sigset_t()
  unsafe sigfillset(&all)
  unsafe pthread_sigmask(SIG_SETMASK, &all, &before)
  defer { unsafe pthread_sigmask(SIG_SETMASK, &before, nil) }
  let argument = unsafe Unmanaged.passRetained(state)
  let status = unsafe pthread_create(
    thread, &attributes,
    { argument in
      guard let argument = unsafe argument else { return nil }
      unsafe Unmanaged<PoolState>.fromOpaque(argument).takeRetainedValue().serve()
      return nil
    }, argument.toOpaque())
  if status != 0 { unsafe argument.release() }
  return status
}
