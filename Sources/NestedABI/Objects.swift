internal import CNested
internal import CNestedShims
internal import NestedBase
internal import NestedModels
internal import NestedTensor
internal import NestedTraining

// What tickets stand for. Each object keeps what it needs alive by a strong reference, so handles may be released in
// any order. Locks are here, above the core: the gate of an object is held by one [serial] call at a time.

/// Threads, memory and the host's log.
@safe final class ContextObject: @unchecked Sendable {
  let runtime: Runtime
  private let hasThreads: Bool
  private let forks: UInt64
  private let logLevel: Int32
  private let log: nested_log_fn?
  private let logUser: UnsafeMutableRawPointer?

  init(_ options: nested_context_options, threads: Int, memoryLimit: Int) throws(NestedError) {
    runtime = try Runtime(threads: threads, memoryLimit: memoryLimit)
    hasThreads = threads > 1
    forks = nested_shim_fork_count()
    logLevel = unsafe options.log_level
    unsafe log = options.log
    unsafe logUser = options.log_user
  }

  deinit {
    if hasThreads && forks != nested_shim_fork_count() {
      // A forked child: there is nobody to join, so what would join them is never destroyed.
      unsafe _ = Unmanaged.passRetained(runtime)
    } else {
      runtime.threads.shutdown()
    }
  }

  /// Rule R11: after a fork the workers are gone.
  func checkFork() throws(NestedError) {
    guard !hasThreads || forks == nested_shim_fork_count() else {
      throw NestedError(
        .forked,
        "This object has threads that did not survive fork(); make a new context in the child.")
    }
  }

  func logs(_ level: Int) -> Bool { unsafe log != nil && level <= Int(logLevel) }

  func deliver(_ record: LogRecord, _ environment: UInt64) {
    guard let log = unsafe log else { return }
    var message = record.message
    message.append("\0")
    message.withUTF8 { (bytes: UnsafeBufferPointer<UInt8>) in
      var out = unsafe nested_log_record()
      unsafe out.struct_size = UInt32(MemoryLayout<nested_log_record>.size)
      unsafe out.level = record.level
      unsafe out.component = record.component.cString
      unsafe out.message = UnsafeRawPointer(bytes.baseAddress)?.assumingMemoryBound(to: CChar.self)
      withHost(environment) { unsafe log(logUser, &out) }
    }
  }
}

struct LogRecord {
  let level: Int32
  let component: StaticString
  let message: String
}

@safe final class ConfigObject: @unchecked Sendable {
  let gate = Gate()
  var value: ModelConfiguration

  init(_ value: ModelConfiguration) { self.value = value }
}

/// A model, the C strings of its tensor names, and whether a trainer is attached.
@safe final class ModelObject: @unchecked Sendable {
  let model: Model
  let context: ContextObject
  private let names: UnsafeMutablePointer<CChar>  // all names, each with its NUL
  private let nameOffsets: [Int]
  private let trained: UnsafeMutablePointer<UInt64>

  init(_ model: Model, _ context: ContextObject) {
    self.model = model
    self.context = context
    var bytes: [UInt8] = []
    var offsets: [Int] = []
    for entry in model.layout.entries {
      offsets.append(bytes.count)
      bytes += entry.name.utf8
      bytes.append(0)
    }
    nameOffsets = offsets
    unsafe names = .allocate(capacity: max(bytes.count, 1))
    for (i, byte) in bytes.enumerated() { unsafe names[i] = CChar(bitPattern: byte) }
    unsafe trained = .allocate(capacity: 1)
    unsafe trained.initialize(to: 0)
  }

  deinit {
    unsafe names.deallocate()
    unsafe trained.deallocate()
  }

  func name(_ index: Int) -> UnsafePointer<CChar> {
    unsafe UnsafePointer(names + nameOffsets[index])
  }

  /// False when a trainer is there already.
  func attachTrainer() -> Bool { unsafe nested_word_exchange(trained, 0, 1) != 0 }
  func detachTrainer() { unsafe nested_word_store(trained, 0) }

  /// The flat weights for reading.
  func withWeights<R>(_ body: (Floats) throws(NestedError) -> R) throws(NestedError) -> R {
    try reading { () throws(NestedError) in try model.withWeights(body) }
  }

  private var identity: UnsafeRawPointer {
    unsafe UnsafeRawPointer(Unmanaged.passUnretained(self).toOpaque())
  }

  /// Marks the model as being read by this thread while `body` runs.
  func reading<R>(_ body: () throws(NestedError) -> R) throws(NestedError) -> R {
    try checkReadable()
    guard unsafe nested_reading_push(identity) != 0 else {
      throw NestedError(.limit, "Callbacks are nested more than \(NESTED_SLOT_DEPTH) calls deep.")
    }
    defer { nested_reading_pop() }
    return try body()
  }

  /// The core's lock lets a waiting writer go first: a second read on one thread could wait for ever.
  func checkReadable() throws(NestedError) { try checkWritable() }

  /// For [serial] calls: an error where waiting for the model would be waiting for oneself.
  func checkWritable() throws(NestedError) {
    guard unsafe nested_reading_contains(identity) == 0 else {
      throw NestedError(
        .reentrant, "This model is being read further up the same stack.", place: "model")
    }
  }
}

@safe final class TrainerObject: @unchecked Sendable {
  let gate = Gate()
  let trainer: Trainer
  let model: ModelObject
  /// The host's all-reduce hook; set under the gate.
  var hook: AllReduceHook?

  init(_ trainer: Trainer, _ model: ModelObject) {
    self.trainer = trainer
    self.model = model
  }

  deinit { model.detachTrainer() }
}

@safe struct AllReduceHook {
  let function: nested_allreduce_fn
  let user: UnsafeMutableRawPointer?
}

@safe final class SessionObject: @unchecked Sendable {
  let gate = Gate()
  let session: Session
  let model: ModelObject

  init(_ session: Session, _ model: ModelObject) {
    self.session = session
    self.model = model
  }

  /// One call at a time. The core holds the model's lock only between a session's callbacks, never in them.
  func using<R>(_ body: () throws(NestedError) -> R) throws(NestedError) -> R {
    try model.checkReadable()
    return try gate.withLock("session", body)
  }
}

/// A frozen state, and the context whose memory it lives in.
@safe final class SnapshotObject: @unchecked Sendable {
  let state: SessionState
  let model: ModelObject

  init(_ state: SessionState, _ model: ModelObject) {
    self.state = state
    self.model = model
  }
}

/// Bytes for the host, with a NUL behind them.
@safe final class BlobObject: @unchecked Sendable {
  let bytes: UnsafeMutableRawPointer
  let count: Int

  init(_ source: [UInt8]) throws(NestedError) {
    guard let memory = unsafe nested_shim_allocate(source.count + 1, 16) else { throw outOfMemory }
    unsafe bytes = memory
    count = source.count
    unsafe source.withUnsafeBytes { source in
      if let base = source.baseAddress {
        unsafe memory.copyMemory(from: base, byteCount: source.count)
      }
    }
    unsafe memory.storeBytes(of: 0, toByteOffset: count, as: UInt8.self)
  }

  convenience init(_ text: String) throws(NestedError) { try self.init([UInt8](text.utf8)) }

  deinit { unsafe nested_shim_release(bytes) }
}

// MARK: From tickets to objects

extension Call {
  private func missing(_ handle: OpaquePointer?, _ name: StaticString) -> NestedError {
    NestedError(
      .handle,
      unsafe handle == nil
        ? "\(name) is NULL."
        : "\(name) is not a live handle of this kind: released, or something else.",
      place: "\(name)")
  }

  mutating func context(
    _ handle: OpaquePointer?, _ name: StaticString = "context"
  ) throws(NestedError) -> ContextObject {
    guard let object = unsafe handles.object(handle, .context, as: ContextObject.self) else {
      throw unsafe missing(handle, name)
    }
    context = object
    try object.checkFork()
    return object
  }

  func config(_ handle: OpaquePointer?) throws(NestedError) -> ConfigObject {
    guard let object = unsafe handles.object(handle, .config, as: ConfigObject.self) else {
      throw unsafe missing(handle, "config")
    }
    return object
  }

  mutating func model(_ handle: OpaquePointer?) throws(NestedError) -> ModelObject {
    guard let object = unsafe handles.object(handle, .model, as: ModelObject.self) else {
      throw unsafe missing(handle, "model")
    }
    context = object.context
    try object.context.checkFork()
    return object
  }

  mutating func trainer(_ handle: OpaquePointer?) throws(NestedError) -> TrainerObject {
    guard let object = unsafe handles.object(handle, .trainer, as: TrainerObject.self) else {
      throw unsafe missing(handle, "trainer")
    }
    context = object.model.context
    try object.model.context.checkFork()
    return object
  }

  mutating func session(
    _ handle: OpaquePointer?, _ name: StaticString = "session"
  ) throws(NestedError) -> SessionObject {
    guard let object = unsafe handles.object(handle, .session, as: SessionObject.self) else {
      throw unsafe missing(handle, name)
    }
    context = object.model.context
    try object.model.context.checkFork()
    return object
  }

  mutating func snapshot(_ handle: OpaquePointer?) throws(NestedError) -> SnapshotObject {
    guard let object = unsafe handles.object(handle, .snapshot, as: SnapshotObject.self) else {
      throw unsafe missing(handle, "snapshot")
    }
    context = object.model.context
    try object.model.context.checkFork()
    return object
  }
}

/// Where a new handle goes: checked before the work, written after it.
@safe struct NewHandle {
  private let out: UnsafeMutablePointer<OpaquePointer?>

  init(_ out: UnsafeMutablePointer<OpaquePointer?>?) throws(NestedError) {
    unsafe self.out = try required(out, "out")
  }

  func publish(_ kind: HandleKind, _ object: AnyObject?) throws(NestedError) {
    try checkMemory()
    unsafe out.pointee = try handles.insert(kind, object)
  }
}
