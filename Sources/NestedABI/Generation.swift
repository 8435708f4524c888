public import CNested
internal import NestedBase
internal import NestedModels
internal import NestedTensor
internal import NestedTraining

// Section 10 of the header: sampling.

/// A caller's sampling options, checked; NULL = greedy.
private func sampling(
  _ pointer: UnsafePointer<nested_sampling>?, vocab: Int
) throws(NestedError) -> SamplingOptions {
  var options = SamplingOptions()
  options.temperature = 0
  guard let given = unsafe try input(pointer, nested_sampling(), "sampling") else { return options }
  for (value, name) in unsafe [
    (given.temperature, "sampling.temperature"), (given.top_p, "sampling.top_p"),
    (given.min_p, "sampling.min_p"), (given.repetition_penalty, "sampling.repetition_penalty"),
  ] as [(Double, StaticString)] {
    try finite(value, name)
  }
  unsafe options.temperature = given.temperature
  unsafe options.topK = Int(given.top_k)
  unsafe options.topP = given.top_p
  unsafe options.minP = given.min_p
  unsafe options.repetitionPenalty = given.repetition_penalty
  guard let window = unsafe Int(exactly: given.repetition_window), window <= Int(Int32.max) else {
    throw NestedError(
      .range, "sampling.repetition_window is too large.", place: "sampling.repetition_window")
  }
  options.repetitionWindow = window
  if unsafe given.n_stop_tokens > 0 {
    guard let count = unsafe Int(exactly: given.n_stop_tokens) else {
      throw NestedError(
        .range, "sampling.n_stop_tokens is too large.", place: "sampling.n_stop_tokens")
    }
    let stops = unsafe try tokens(
      given.stop_tokens, count: count, vocab: vocab, "sampling.stop_tokens")
    options.stopTokens = (0..<count).map { stops[$0] }
  }
  if unsafe given.logit_bias != nil {
    let bias = unsafe try array(given.logit_bias, count: vocab, "sampling.logit_bias")
    // -infinity forbids a token.
    for i in 0..<vocab where unsafe bias[i].isNaN || bias[i] == .infinity {
      throw NestedError(
        .numeric, "sampling.logit_bias[\(i)] is neither finite nor -infinity.",
        place: "sampling.logit_bias[\(i)]")
    }
    options.logitBias = unsafe Floats(UnsafeMutablePointer(mutating: bias))
  }
  try options.validate(vocab: vocab)
  return options
}

@_cdecl("nested_session_generate")
public func nested_session_generate(
  _ session: OpaquePointer?, _ sampling: UnsafePointer<nested_sampling>?, _ max_tokens: Int,
  _ on_token: nested_token_fn?, _ user: UnsafeMutableRawPointer?, _ run: UnsafePointer<nested_run>?,
  _ dst: UnsafeMutablePointer<Int32>?, _ out_count: UnsafeMutablePointer<Int>?,
  _ out_finish: UnsafeMutablePointer<Int32>?
) -> nested_status {
  call("nested_session_generate") { call throws(NestedError) in
    let count = unsafe try optional(out_count, "out_count")
    let finish = unsafe try optional(out_finish, "out_finish")
    let object = unsafe try call.session(session)
    try checkPredictsTokens(object.model.model, "session")
    let vocab = object.model.model.configuration.vocab
    let options = unsafe try NestedABI.sampling(sampling, vocab: vocab)
    guard max_tokens >= 0, max_tokens <= 1 << 40 else {
      throw NestedError(.range, "max_tokens is too large.", place: "max_tokens")
    }
    let target =
      unsafe dst == nil ? nil : try array(dst, count: max_tokens, "dst", mayBeEmpty: true)
    let environment = call.environment

    try object.using { () throws(NestedError) in
      guard object.session.position > 0 else {
        throw NestedError(.state, "The session has not read a token yet.", place: "session")
      }
      unsafe try withRun(
        run, call, "generate", total: max_tokens, begin: { unsafe count?.pointee = 0 }
      ) {
        (control: RunControl) throws(NestedError) in
        var made = 0
        defer { unsafe count?.pointee = made }
        let result = try object.session.generate(
          options: options, max: max_tokens, control: control
        ) { (token, logprob) throws(NestedError) -> Bool in
          unsafe target?[made] = token
          made += 1
          guard let on_token = unsafe on_token else { return true }
          var event = nested_token_event()
          event.struct_size = UInt32(MemoryLayout<nested_token_event>.size)
          event.token = token
          event.index = Int64(made - 1)
          event.logprob = logprob
          let answer = withHost(environment) { unsafe on_token(user, &event) }
          guard answer >= 0 else {
            throw NestedError(.callback, "The token callback failed.", callbackCode: answer)
          }
          return answer == 0
        }
        unsafe finish?.pointee = result.rawValue
      }
    }
  }
}
