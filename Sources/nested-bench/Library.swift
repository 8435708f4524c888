import CNested
import Glibc

/// What went wrong, in the library's own words.
struct BenchError: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

/// A zeroed struct of the header with its size filled in: NESTED_INIT.
func prepared<T>(_ value: T, _ size: WritableKeyPath<T, UInt32>) -> T {
  var value = value
  value[keyPath: size] = UInt32(MemoryLayout<T>.stride)
  return value
}

func check(_ status: nested_status) throws {
  if status == Int32(NESTED_OK) { return }
  var error = prepared(nested_error(), \.struct_size)
  _ = nested_last_error(&error)
  let name = String(cString: nested_status_name(status))
  throw BenchError(
    "\(String(cString: error.function)): \(name): \(String(cString: error.message))"
      + " \(String(cString: error.place))")
}

/// The result of a function that returns through an out-pointer.
func made(_ body: (UnsafeMutablePointer<OpaquePointer?>) -> nested_status) throws -> OpaquePointer {
  var result: OpaquePointer?
  try check(body(&result))
  guard let result else { throw BenchError("a handle is missing") }
  return result
}

final class Context {
  let handle: OpaquePointer
  init(threads: Int) throws {
    var options = prepared(nested_context_options(), \.struct_size)
    options.n_threads = Int32(threads)
    handle = try made { nested_context_create(&options, $0) }
  }
  deinit { nested_context_release(handle) }

  /// Allocations of tensor storage so far.
  func allocations() throws -> UInt64 {
    var stats = prepared(nested_memory_stats(), \.struct_size)
    try check(nested_context_memory(handle, &stats))
    return stats.n_allocations
  }
}

final class Model {
  let handle: OpaquePointer
  let preset: String
  let parameters: Int
  let vocab: Int
  let cost: Cost
  /// Tokens after which a segment ends, and the second level's period (0: there is none).
  let segment: Int
  let slowPeriod: Int

  init(_ context: Context, preset: String) throws {
    let json = "{\"preset\":\"\(preset)\",\"vocab\":256}"
    let config = try made { nested_config_from_json(json, json.utf8.count, $0) }
    defer { nested_config_release(config) }
    func int(_ pointer: String) throws -> Int {
      var value: Int64 = 0
      try check(nested_config_get_int(config, pointer, &value))
      return Int(value)
    }
    handle = try made { nested_model_create(context.handle, config, 1, $0) }
    self.preset = preset
    var info = prepared(nested_model_info(), \.struct_size)
    try check(nested_model_get_info(handle, &info))
    parameters = Int(info.n_params)
    vocab = Int(info.vocab)
    var periods: [Int] = []
    for level in 0..<Int(info.n_levels) { periods.append(try int("/cms/levels/\(level)/chunk")) }
    let first = periods.first ?? 0
    let longest = try int("/segment")
    segment = first > 0 ? min(first, longest) : longest
    slowPeriod = periods.count > 1 ? periods[1] : 0
    cost = try Cost(model: handle, periods: periods)
  }
  deinit { nested_model_release(handle) }
}

final class Trainer {
  let handle: OpaquePointer
  init(_ model: Model) throws {
    let options = #"{"schedule":{"type":"constant","warmup":10}}"#
    handle = try made { nested_trainer_create(model.handle, options, options.utf8.count, $0) }
  }
  deinit { nested_trainer_release(handle) }

  /// One optimizer step over rows of `tokens`; tokens [rows, length].
  func step(_ tokens: UnsafePointer<Int32>, rows: Int, length: Int) throws {
    var batch = prepared(nested_batch(), \.struct_size)
    batch.n_seq = Int64(rows)
    batch.seq_len = Int64(length)
    batch.tokens = tokens
    var step = prepared(nested_step(), \.struct_size)
    try check(nested_trainer_step(handle, &batch, nil, &step))
    if step.applied != 1 { throw BenchError("a training step was skipped") }
  }
}

enum Learn: Int32 {
  case memory = 0
  case off = 1
  case on = 2
}

final class Session {
  let handle: OpaquePointer
  init(_ model: Model, _ learn: Learn) throws {
    var options = prepared(nested_session_options(), \.struct_size)
    options.learn = learn.rawValue
    options.seed = 1
    handle = try made { nested_session_create(model.handle, &options, $0) }
  }
  deinit { nested_session_release(handle) }

  func feed(_ tokens: UnsafePointer<Int32>, _ count: Int) throws {
    try check(nested_session_feed(handle, tokens, count, nil, nil, nil))
  }

  func generate(_ count: Int) throws {
    var sampling = prepared(nested_sampling(), \.struct_size)
    sampling.temperature = 0.8
    sampling.top_k = 40
    try check(nested_session_generate(handle, &sampling, count, nil, nil, nil, nil, nil, nil))
  }

  /// Bytes of memory that are the session's own; an error if it ever dropped an online update.
  func stateBytes() throws -> UInt64 {
    var info = prepared(nested_session_info(), \.struct_size)
    try check(nested_session_get_info(handle, &info))
    if info.n_skipped != 0 { throw BenchError("an online update was not finite") }
    return info.state_bytes
  }
}
