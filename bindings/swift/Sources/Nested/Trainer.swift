internal import CNested

/// Optimises the weights of a model over batches; a model has at most one.
///
/// A trainer is a reference: copies are the same trainer. Any thread may use it; calls run one at a
/// time.
public struct Trainer: Sendable {
  let core: Core
  /// The model that it trains.
  public let model: Model

  /// Attaches a trainer to a model.
  ///
  /// - Throws: ``Status/exists`` when the model has one; ``Status/configuration`` with the place
  ///   for options out of range.
  public init(_ model: Model, options: Options = Options()) throws(NestedError) {
    try self.init(model, options: options.json)
  }

  /// The same with options as the library reads them; keys that are not there have their defaults.
  ///
  /// - Throws: ``Status/exists``; ``Status/parse`` and ``Status/configuration`` with the place.
  public init(_ model: Model, options: JSON) throws(NestedError) {
    let text = options.description
    self.model = model
    core = Core(
      try unsafe model.handle.making(nested_trainer_release) {
        unsafe nested_trainer_create($0, text, text.utf8.count, $1)
      })
  }

  /// The options in force, every key present, as JSON text.
  public var options: String {
    get throws(NestedError) {
      try unsafe core.handle.text { unsafe nested_trainer_get_options($0, $1) }
    }
  }

  /// Overrides the schedule; `nil` returns to it.
  ///
  /// - Throws: ``Status/range`` below 0; ``Status/numeric`` when it is not finite.
  public func setLearningRate(_ rate: Double?) throws(NestedError) {
    if let rate, rate < 0 {
      throw NestedError(.range, "a learning rate below 0", place: "rate")
    }
    try unsafe core.call { unsafe nested_trainer_set_lr($0, rate ?? -1) }
  }

  /// The trainer and what it points to.
  ///
  /// The library locks each call. The lock here is for two calls that belong together (a gradient
  /// is lent until the next call), and for the hook, which is replaced and called under it. It may
  /// be taken again by the thread that has it: a closure that uses its own trainer then gets
  /// ``Status/reentrant`` from the library.
  @safe final class Core: @unchecked Sendable {
    let handle: Handle
    private let lock = RecursiveLock()
    private(set) var hook: AllReduceHook?

    init(_ handle: Handle) { self.handle = handle }

    func call(_ body: (OpaquePointer) -> nested_status) throws(NestedError) {
      try lock.holding { () throws(NestedError) in
        try check(unsafe handle.use(body))
      }
    }

    func call(
      _ run: Run, committed: @autoclosure () -> Int? = nil,
      _ body: (OpaquePointer, UnsafePointer<nested_run>) -> nested_status
    ) throws(NestedError) {
      try lock.holding { () throws(NestedError) in
        let failure = hook?.failure ?? Failure()
        let status = unsafe run.status(failure) { run in
          unsafe handle.use { unsafe body($0, run) }
        }
        try check(status, committed: committed(), underlying: failure.error)
      }
    }

    func replaceHook(
      _ hook: AllReduceHook?, _ body: (OpaquePointer) -> nested_status
    ) throws(NestedError) {
      try lock.holding { () throws(NestedError) in
        try check(unsafe handle.use(body))
        self.hook = hook
      }
    }
  }
}
