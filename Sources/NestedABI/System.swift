internal import CNestedShims
internal import Glibc
internal import NestedBase

/// A mutual exclusion that knows who is inside: what makes an object's calls run one at a time and turns a call
/// from its own callback into an error instead of a deadlock.
@safe final class Gate: @unchecked Sendable {
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let words: UnsafeMutablePointer<UInt64>  // owner thread; fork count at entry; poisoned

  init() {
    unsafe mutex = .allocate(capacity: 1)
    unsafe mutex.initialize(to: pthread_mutex_t())
    unsafe pthread_mutex_init(mutex, nil)
    unsafe words = .allocate(capacity: 3)
    unsafe words.initialize(repeating: 0, count: 3)
  }

  deinit {
    unsafe pthread_mutex_destroy(mutex)
    unsafe mutex.deallocate()
    unsafe words.deallocate()
  }

  fileprivate var owner: UInt64 { unsafe nested_word_load(words) }
  var isPoisoned: Bool { unsafe nested_word_load(words + 2) != 0 }
  func poison() { unsafe nested_word_store(words + 2, 1) }

  /// Waits for the gate and holds it while `body` runs. An internal error inside poisons the object.
  func withLock<R>(_ name: StaticString, _ body: () throws(NestedError) -> R) throws(NestedError)
    -> R
  {
    try enter(name)
    defer { leave() }
    try checkPoison(name)
    do throws(NestedError) { return try body() } catch {
      if error.code == .internalError { poison() }
      throw error
    }
  }

  func checkPoison(_ name: StaticString) throws(NestedError) {
    guard !isPoisoned else {
      throw NestedError(
        .poisoned, "This \(name) saw an internal error earlier and can only be released.",
        place: "\(name)")
    }
  }

  func enter(_ name: StaticString) throws(NestedError) {
    let me = nested_thread_identity()
    let forks = nested_shim_fork_count()
    if unsafe pthread_mutex_trylock(mutex) != 0 {
      guard unsafe nested_word_load(words + 1) == forks else {
        throw NestedError(
          .forked, "A call of the parent process was using this \(name) when it forked.",
          place: "\(name)")
      }
      guard owner != me, waiters.mayWait(me, for: self) else {
        throw NestedError(
          .reentrant, "This \(name) is busy further up the same stack, or waits for it.",
          place: "\(name)")
      }
      unsafe pthread_mutex_lock(mutex)
      waiters.gotIt(me)
    }
    unsafe nested_word_store(words + 1, forks)
    unsafe nested_word_store(words, me)
  }

  func leave() {
    unsafe nested_word_store(words, 0)
    unsafe pthread_mutex_unlock(mutex)
  }
}

/// Who waits for which gate. Two callbacks that want each other's objects would wait for ever: whoever would
/// close such a circle gets an error instead. Looked at only when a gate is taken.
@safe private final class Waiters: @unchecked Sendable {
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private var waiting: [UInt64: Gate] = [:]
  private var forks: UInt64 = 0

  init() {
    unsafe mutex = .allocate(capacity: 1)
    unsafe mutex.initialize(to: pthread_mutex_t())
    unsafe pthread_mutex_init(mutex, nil)
  }

  func mayWait(_ me: UInt64, for gate: Gate) -> Bool {
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    if forks != nested_shim_fork_count() {
      forks = nested_shim_fork_count()
      waiting.removeAll()
    }
    // A circle stands still, so what is read here without its locks is true if it is one.
    var next = gate
    for _ in 0...waiting.count {
      let owner = next.owner
      if owner == me { return false }
      guard let following = waiting[owner] else { break }
      next = following
    }
    waiting[me] = gate
    return true
  }

  func gotIt(_ me: UInt64) {
    unsafe pthread_mutex_lock(mutex)
    waiting[me] = nil
    unsafe pthread_mutex_unlock(mutex)
  }
}

private let waiters = Waiters()

/// Bytes before the NUL, looking at no more than `limit` of them; nil when there is none among those.
func boundedLength(_ text: UnsafePointer<CChar>, limit: Int) -> Int? {
  let length = unsafe strnlen(text, limit)
  return length < limit ? length : nil
}

func exponential(_ x: Double) -> Double { exp(x) }
