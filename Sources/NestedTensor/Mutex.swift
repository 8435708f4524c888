internal import CNestedShims

/// A pthread mutex. Not recursive.
@safe package final class Mutex: @unchecked Sendable {
  fileprivate let handle: UnsafeMutablePointer<pthread_mutex_t>

  package init() {
    unsafe handle = .allocate(capacity: 1)
    unsafe pthread_mutex_init(handle, nil)
  }
  deinit {
    unsafe pthread_mutex_destroy(handle)
    unsafe handle.deallocate()
  }

  package func lock() { unsafe pthread_mutex_lock(handle) }
  package func unlock() { unsafe pthread_mutex_unlock(handle) }

  @inline(__always)
  package func withLock<R, E>(_ body: () throws(E) -> R) throws(E) -> R {
    lock()
    defer { unlock() }
    return try body()
  }
}

/// A pthread condition variable, to be used with one mutex.
@safe package final class Condition: @unchecked Sendable {
  private let handle: UnsafeMutablePointer<pthread_cond_t>

  package init() {
    unsafe handle = .allocate(capacity: 1)
    unsafe pthread_cond_init(handle, nil)
  }
  deinit {
    unsafe pthread_cond_destroy(handle)
    unsafe handle.deallocate()
  }

  /// The caller holds `mutex`; wakes without cause too, so ask again for what was waited for.
  package func wait(_ mutex: Mutex) { unsafe pthread_cond_wait(handle, mutex.handle) }
  package func signal() { unsafe pthread_cond_signal(handle) }
  package func broadcast() { unsafe pthread_cond_broadcast(handle) }
}

/// Many readers or one writer. A waiting writer goes before later readers, so that a trainer is not
/// starved by sessions that keep reading; therefore a thread that holds a read lock must not take
/// another one.
@safe package final class ReadWriteLock: @unchecked Sendable {
  private let handle: UnsafeMutablePointer<pthread_rwlock_t>

  package init() {
    unsafe handle = .allocate(capacity: 1)
    var attributes = pthread_rwlockattr_t()
    unsafe pthread_rwlockattr_init(&attributes)
    unsafe pthread_rwlockattr_setkind_np(
      &attributes, Int32(PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP))
    unsafe pthread_rwlock_init(handle, &attributes)
    unsafe pthread_rwlockattr_destroy(&attributes)
  }
  deinit {
    unsafe pthread_rwlock_destroy(handle)
    unsafe handle.deallocate()
  }

  package func lockForReading() { unsafe pthread_rwlock_rdlock(handle) }
  package func lockForWriting() { unsafe pthread_rwlock_wrlock(handle) }
  package func unlock() { unsafe pthread_rwlock_unlock(handle) }

  @inline(__always)
  package func withReadLock<R, E>(_ body: () throws(E) -> R) throws(E) -> R {
    lockForReading()
    defer { unlock() }
    return try body()
  }

  @inline(__always)
  package func withWriteLock<R, E>(_ body: () throws(E) -> R) throws(E) -> R {
    lockForWriting()
    defer { unlock() }
    return try body()
  }
}
