internal import CNested

/// How several workers that train equal models add up their gradients.
///
/// `step`, `apply` and `fit` call it on their own thread, bucket by bucket in flat order, and at
/// the end of a step with the number of targets. An error that a closure throws ends the call with
/// ``Status/callback``; nothing is applied then.
public struct AllReduce: Sendable {
  /// Most elements of a bucket; 0 = 1 Mi.
  public var bucket: Int
  /// Replaces a bucket by its sum over all workers.
  public var gradient: @Sendable (inout MutableSpan<Float>) throws -> Void
  /// Replaces the number of targets by its sum over all workers.
  public var targets: @Sendable (inout Double) throws -> Void

  /// From the two sums; ``bucket`` is by default 1 Mi elements.
  public init(
    bucket: Int = 0, gradient: @escaping @Sendable (inout MutableSpan<Float>) throws -> Void,
    targets: @escaping @Sendable (inout Double) throws -> Void
  ) {
    self.bucket = bucket
    self.gradient = gradient
    self.targets = targets
  }
}

extension Trainer {
  /// Sets how gradients are added up over workers; `nil` = this is the only one.
  ///
  /// - Throws: ``Status/range`` for a negative bucket.
  public func setAllReduce(_ reduce: AllReduce?) throws(NestedError) {
    let bucket = try count(reduce?.bucket ?? 0, place: "bucket")
    let hook = reduce.map(AllReduceHook.init)
    try unsafe core.replaceHook(hook) { trainer in
      guard let hook else { return unsafe nested_trainer_set_allreduce(trainer, nil, nil, 0) }
      return unsafe nested_trainer_set_allreduce(
        trainer, AllReduceHook.receive, Unmanaged.passUnretained(hook).toOpaque(), bucket)
    }
  }
}

/// What the library points to while the hook is set; used under the lock of the trainer's core.
final class AllReduceHook {
  let reduce: AllReduce
  let failure = Failure()

  init(_ reduce: AllReduce) { self.reduce = reduce }

  static let receive: nested_allreduce_fn = { user, data, count, dtype in
    guard let user = unsafe user, let data = unsafe data else { return -1 }
    let hook = unsafe Unmanaged<AllReduceHook>.fromOpaque(user).takeUnretainedValue()
    return hook.failure.answer {
      if dtype == NESTED_F64 {
        let targets = unsafe data.assumingMemoryBound(to: Double.self)
        try unsafe hook.reduce.targets(&targets.pointee)
      } else {
        var bucket = unsafe MutableSpan(
          _unsafeStart: data.assumingMemoryBound(to: Float.self), count: count)
        try hook.reduce.gradient(&bucket)
      }
      return .continue
    }
  }
}
