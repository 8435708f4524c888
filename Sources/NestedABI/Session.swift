public import CNested
internal import NestedBase
internal import NestedModels
internal import NestedTensor
internal import NestedTraining

// Section 10 of the header: streaming inference and online learning. Feeding several sessions is in SessionBatch.swift,
// sampling in Generation.swift, files in Snapshot.swift.

func learnMode(_ value: Int32, _ name: StaticString) throws(NestedError) -> LearnMode {
  guard let mode = LearnMode(rawValue: value) else {
    throw NestedError(.range, "\(name) is \(value), not one of NESTED_LEARN_*.", place: "\(name)")
  }
  return mode
}

@_cdecl("nested_session_create")
public func nested_session_create(
  _ model: OpaquePointer?, _ options: UnsafePointer<nested_session_options>?,
  _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> nested_status {
  call("nested_session_create") { call throws(NestedError) in
    let out = unsafe try NewHandle(out)
    let object = unsafe try call.model(model)
    let options =
      unsafe try input(options, nested_session_options(), "options") ?? nested_session_options()
    let learn = try learnMode(options.learn, "options.learn")
    let session = try object.reading { () throws(NestedError) in
      try Session(model: object.model, learn: learn, seed: options.seed)
    }
    try out.publish(.session, SessionObject(session, object))
  }
}

@_cdecl("nested_session_fork")
public func nested_session_fork(
  _ session: OpaquePointer?, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> nested_status {
  call("nested_session_fork") { call throws(NestedError) in
    let out = unsafe try NewHandle(out)
    let object = unsafe try call.session(session)
    try out.publish(.session, SessionObject(fork(object), object.model))
  }
}

/// What the session is now, apart from it: long [shared] calls work on that, so that the session is free meanwhile.
func fork(_ object: SessionObject) throws(NestedError) -> Session {
  try object.using { () throws(NestedError) in try object.session.fork() }
}

@_cdecl("nested_session_reset")
public func nested_session_reset(_ session: OpaquePointer?) -> nested_status {
  call("nested_session_reset") { call throws(NestedError) in
    let object = unsafe try call.session(session)
    try object.using { () throws(NestedError) in try object.session.reset() }
  }
}

@_cdecl("nested_session_set_learn")
public func nested_session_set_learn(_ session: OpaquePointer?, _ learn: Int32) -> nested_status {
  call("nested_session_set_learn") { call throws(NestedError) in
    let object = unsafe try call.session(session)
    let mode = try learnMode(learn, "learn")
    try object.using { () throws(NestedError) in try object.session.setLearn(mode) }
  }
}

@_cdecl("nested_session_release")
public func nested_session_release(_ session: OpaquePointer?) {
  unsafe handles.release(session, .session)
}

@_cdecl("nested_session_get_info")
public func nested_session_get_info(
  _ session: OpaquePointer?, _ out: UnsafeMutablePointer<nested_session_info>?
) -> nested_status {
  call("nested_session_get_info") { call throws(NestedError) in
    let out = unsafe try Output(out, "out")
    let object = unsafe try call.session(session)
    var info = nested_session_info()
    try object.using { () throws(NestedError) in
      let session = object.session
      info.learn = session.learn.rawValue
      info.position = Int64(session.position)
      info.seed = session.seed
      info.state_bytes = UInt64(max(session.stateBytes, 0))
      info.n_updates = UInt64(max(session.updates, 0))
      info.n_skipped = UInt64(max(session.skipped, 0))
      info.model_version = object.model.model.version
      info.n_outputs = Int64(session.outputs)
    }
    out.write(info)
  }
}

/// Where a feed's logits go: the caller's memory when that is dense float32, else a copy that `deliver` converts.
struct LogitsTarget {
  let view: StridedArray?
  private let copy: Storage?
  let lastOnly: Bool

  /// NULL, [vocab] for the last of `count` positions, or [count, vocab].
  init(
    _ pointer: UnsafePointer<nested_view>?, count: Int, vocab: Int, mayBeLast: Bool,
    _ budget: MemoryBudget, _ name: StaticString = "logits"
  ) throws(NestedError) {
    guard unsafe pointer != nil else {
      view = nil
      copy = nil
      lastOnly = true
      return
    }
    let view = unsafe try NestedABI.view(pointer, name, types: wideFloatTypes)
    lastOnly = mayBeLast && view.rank == 1
    let fits =
      lastOnly
      ? view.shape[0] == vocab : view.rank == 2 && view.shape[0] == count && view.shape[1] == vocab
    guard fits else {
      throw NestedError(
        .shape,
        mayBeLast
          ? "\(name) must have shape [\(vocab)] or [\(count), \(vocab)]."
          : "\(name) must have shape [\(count), \(vocab)].", place: "\(name).shape")
    }
    copy = view.floats == nil ? try Storage(count: view.count, budget: budget) : nil
    self.view = view
  }

  var floats: Floats? { view?.floats ?? copy?.floats }

  /// Converts the first `rows` rows.
  func deliver(rows: Int, vocab: Int) {
    if let copy, let view, rows > 0 { view.assign(copy.floats, limit: rows * vocab) }
  }
}

@_cdecl("nested_session_feed")
public func nested_session_feed(
  _ session: OpaquePointer?, _ tokens: UnsafePointer<Int32>?, _ n: Int,
  _ run: UnsafePointer<nested_run>?,
  _ logits: UnsafePointer<nested_view>?, _ out: UnsafeMutablePointer<nested_feed>?
) -> nested_status {
  call("nested_session_feed") { call throws(NestedError) in
    let out = unsafe try Output(out, "out", optional: true)
    let object = unsafe try call.session(session)
    try checkReadsTokens(object.model.model, "session")
    let vocab = object.model.model.configuration.vocab
    let text = unsafe try NestedABI.tokens(tokens, count: n, vocab: vocab, "tokens")
    unsafe try feed(object, call, .tokens(text), count: n, run, logits, "logits", out)
  }
}

/// Feeds what has been checked, with room for [outputs] or [count, outputs].
func feed(
  _ object: SessionObject, _ call: Call, _ input: NetworkInput, count n: Int, _ run: UnsafePointer<nested_run>?,
  _ outputs: UnsafePointer<nested_view>?, _ name: StaticString, _ out: Output<nested_feed>
) throws(NestedError) {
  try object.using { () throws(NestedError) in
    let width = object.session.outputs
    let target = unsafe try LogitsTarget(
      outputs, count: n, vocab: width, mayBeLast: true, object.model.context.runtime.budget, name)
    let (position, updates) = (object.session.position, object.session.updates)
    var result = nested_feed()
    result.loss = .nan
    unsafe try withRun(run, call, "feed", total: n, begin: { out.write(result) }) {
      (control: RunControl) throws(NestedError) in
      do throws(NestedError) {
        let fed = try object.session.feed(
          input, count: n, outputs: target.floats, lastOnly: target.lastOnly, control: control)
        target.deliver(rows: target.lastOnly ? 1 : n, vocab: width)
        result.n_consumed = Int64(fed.consumed)
        result.loss = fed.loss
        result.n_updates = UInt64(max(fed.updates, 0))
        out.write(result)
      } catch {
        // Whole chunks that were committed before the failure stay.
        let consumed = object.session.position - position
        if !target.lastOnly { target.deliver(rows: consumed, vocab: width) }
        result.n_consumed = Int64(consumed)
        result.n_updates = UInt64(max(object.session.updates - updates, 0))
        out.write(result)
        throw error
      }
    }
  }
}

@_cdecl("nested_session_output")
public func nested_session_output(
  _ session: OpaquePointer?, _ dst: UnsafeMutablePointer<Float>?, _ capacity: Int,
  _ out_count: UnsafeMutablePointer<Int>?
) -> nested_status {
  call("nested_session_output") { call throws(NestedError) in
    let count = unsafe try required(out_count, "out_count")
    let object = unsafe try call.session(session)
    guard capacity >= 0 else {
      throw NestedError(.range, "capacity is too large.", place: "capacity")
    }
    let target = unsafe capacity == 0 ? nil : try present(dst, "dst")
    try object.using { () throws(NestedError) in
      let width = object.session.outputs
      if capacity > 0, width > 0 { _ = unsafe try array(dst, count: min(capacity, width), "dst") }
      guard object.session.hasOutput else {
        throw NestedError(.state, "The session has not read a token yet.", place: "session")
      }
      unsafe count.pointee = width
      guard capacity >= width else {
        throw NestedError(
          .capacity, "dst holds \(capacity) values, \(width) are needed.", place: "capacity")
      }
      if let target = unsafe target { try object.session.output(into: unsafe Floats(target)) }
    }
  }
}

@_cdecl("nested_session_score")
public func nested_session_score(
  _ session: OpaquePointer?, _ tokens: UnsafePointer<Int32>?, _ n: Int,
  _ run: UnsafePointer<nested_run>?,
  _ logprobs: UnsafeMutablePointer<Float>?, _ out_sum: UnsafeMutablePointer<Double>?
) -> nested_status {
  call("nested_session_score") { call throws(NestedError) in
    let sum = unsafe try optional(out_sum, "out_sum")
    let object = unsafe try call.session(session)
    try checkPredictsTokens(object.model.model, "session")
    let text = unsafe try NestedABI.tokens(
      tokens, count: n, vocab: object.model.model.configuration.vocab, "tokens")
    let target = unsafe logprobs == nil ? nil : Floats(try array(logprobs, count: n, "logprobs"))
    let session = try fork(object)
    let result = unsafe try withRun(run, call, "score", total: n) {
      (control: RunControl) throws(NestedError) in
      try session.score(tokens: text, count: n, logprobs: target, control: control)
    }
    unsafe sum?.pointee = result
  }
}
