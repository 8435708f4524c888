public import CNested
internal import NestedBase
internal import NestedModels
internal import NestedTensor
internal import NestedTraining

// Section 10 of the header: one token for each of many sessions.

@_cdecl("nested_sessions_feed")
public func nested_sessions_feed(
  _ sessions: UnsafePointer<OpaquePointer?>?, _ count: Int, _ tokens: UnsafePointer<Int32>?,
  _ run: UnsafePointer<nested_run>?, _ logits: UnsafePointer<nested_view>?,
  _ out_done: UnsafeMutablePointer<Int>?
) -> nested_status {
  call("nested_sessions_feed") { call throws(NestedError) in
    let done = unsafe try optional(out_done, "out_done")
    let list = unsafe try distinctSessions(sessions, count, &call)
    guard let model = list.first?.model else { return }
    try checkPredictsTokens(model.model, "sessions")
    let vocab = model.model.configuration.vocab
    let text = unsafe try NestedABI.tokens(tokens, count: count, vocab: vocab, "tokens")
    let target = unsafe try LogitsTarget(
      logits, count: count, vocab: vocab, mayBeLast: false, model.context.runtime.budget)

    try model.checkReadable()
    try withGates(list) { () throws(NestedError) in
      unsafe try withRun(run, call, "feed", total: count, begin: { unsafe done?.pointee = 0 }) {
        (control: RunControl) throws(NestedError) in
        var fed = 0
        defer {
          target.deliver(rows: fed, vocab: vocab)
          unsafe done?.pointee = fed
        }
        for (i, object) in list.enumerated() {
          let position = object.session.position
          // Also where memory runs out behind the token.
          defer { if object.session.position > position { fed = i + 1 } }
          _ = try object.session.feed(
            tokens: text + i, count: 1, logits: target.floats.map { $0 + i * vocab },
            lastOnly: true,
            control: unwatched)
          try control.report("feed", i + 1, count, .nan)
        }
      }
    }
  }
}

/// The sessions behind an array of handles: all there, distinct, of one model.
func distinctSessions(
  _ sessions: UnsafePointer<OpaquePointer?>?, _ count: Int, _ call: inout Call
) throws(NestedError) -> [SessionObject] {
  let array = unsafe try array(sessions, count: count, "sessions")
  var list: [SessionObject] = []
  var seen: Set<ObjectIdentifier> = []
  for i in 0..<count {
    let object = unsafe try call.session(array[i], "sessions")
    guard seen.insert(ObjectIdentifier(object)).inserted else {
      throw NestedError(
        .argument, "sessions[\(i)] is in the array already.", place: "sessions[\(i)]")
    }
    guard object.model === list.first?.model ?? object.model else {
      throw NestedError(.mismatch, "sessions[\(i)] is of another model.", place: "sessions[\(i)]")
    }
    list.append(object)
  }
  return list
}

/// Holds the gates of all, taken in the order of their addresses: two such calls cannot wait for each other.
private func withGates<R>(
  _ list: [SessionObject], _ body: () throws(NestedError) -> R
) throws(NestedError) -> R {
  let ordered = list.sorted { ObjectIdentifier($0.gate) < ObjectIdentifier($1.gate) }
  var held = 0
  defer { for object in ordered[..<held].reversed() { object.gate.leave() } }
  for object in ordered {
    try object.gate.enter("session")
    held += 1
    try object.gate.checkPoison("session")
  }
  do throws(NestedError) { return try body() } catch {
    if error.code == .internalError { for object in list { object.gate.poison() } }
    throw error
  }
}
