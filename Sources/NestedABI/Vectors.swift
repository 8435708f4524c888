public import CNested
internal import NestedBase
internal import NestedModels
internal import NestedTensor
internal import NestedTraining

// Section 10 of the header: sessions of kinds that read vectors, and labels.

/// For the calls that are about a next token.
func checkPredictsTokens(_ model: Model, _ name: StaticString) throws(NestedError) {
  guard !model.configuration.hasLabels else {
    throw NestedError(
      .unsupported, "The model's task is \(model.configuration.task.rawValue): it predicts no next token.",
      place: "\(name)")
  }
}

/// For the calls that read tokens.
func checkReadsTokens(_ model: Model, _ name: StaticString) throws(NestedError) {
  guard !model.configuration.kind.readsVectors else {
    throw NestedError(
      .unsupported, "Kind \(model.configuration.kind.rawValue) reads vectors, not tokens.", place: "\(name)")
  }
}

private func checkHasLabels(_ model: Model, _ instead: StaticString) throws(NestedError) {
  guard model.configuration.hasLabels else {
    throw NestedError(.unsupported, "The model's task is lm: \(instead).", place: "session")
  }
}

@_cdecl("nested_session_feed_vectors")
public func nested_session_feed_vectors(
  _ session: OpaquePointer?, _ inputs: UnsafePointer<nested_cview>?, _ run: UnsafePointer<nested_run>?,
  _ outputs: UnsafePointer<nested_view>?, _ out: UnsafeMutablePointer<nested_feed>?
) -> nested_status {
  call("nested_session_feed_vectors") { call throws(NestedError) in
    let out = unsafe try Output(out, "out", optional: true)
    let object = unsafe try call.session(session)
    let model = object.model.model
    guard model.configuration.kind.readsVectors else {
      throw NestedError(
        .unsupported, "Kind \(model.configuration.kind.rawValue) reads tokens, not vectors.", place: "session")
    }
    let array = unsafe try view(inputs, "inputs", types: floatTypes)
    guard array.rank == 2, array.shape[0] >= 1, array.shape[1] == model.configuration.inputs else {
      throw NestedError(
        .shape, "inputs must have shape [n, \(model.configuration.inputs)].", place: "inputs.shape")
    }
    let read = try vectors(array, model.runtime.budget, "inputs")
    try withExtendedLifetime(read.owner) { () throws(NestedError) in
      unsafe try feed(object, call, .vectors(read.floats), count: array.shape[0], run, outputs, "outputs", out)
    }
  }
}

@_cdecl("nested_session_teach")
public func nested_session_teach(
  _ session: OpaquePointer?, _ batch: UnsafePointer<nested_batch>?, _ run: UnsafePointer<nested_run>?,
  _ out: UnsafeMutablePointer<nested_eval>?
) -> nested_status {
  call("nested_session_teach") { call throws(NestedError) in
    let out = unsafe try Output(out, "out", optional: true)
    let object = unsafe try call.session(session)
    let model = object.model.model
    try checkHasLabels(model, "it learns from the tokens that are fed")
    let rows = unsafe try NestedABI.batch(batch, model, .new)
    guard let labels = rows.labels else { throw nullArgument("batch.labels") }
    try object.using { () throws(NestedError) in
      var total = LabelLoss()
      let none = evaluation(total, model.configuration.task)
      unsafe try withRun(run, call, "teach", total: rows.batch * rows.length, begin: { out.write(none) }) {
        (control: RunControl) throws(NestedError) in
        // Rows that were committed before a failure stay.
        defer { out.write(evaluation(total, model.configuration.task)) }
        try withExtendedLifetime(rows) { () throws(NestedError) in
          try object.session.teach(
            rows.input, labels, batch: rows.batch, length: rows.length, into: &total, control: control)
        }
      }
    }
  }
}

@_cdecl("nested_session_predict")
public func nested_session_predict(
  _ session: OpaquePointer?, _ batch: UnsafePointer<nested_batch>?, _ run: UnsafePointer<nested_run>?,
  _ dst: UnsafePointer<nested_view>?
) -> nested_status {
  call("nested_session_predict") { call throws(NestedError) in
    let object = unsafe try call.session(session)
    let model = object.model.model
    try checkHasLabels(model, "its answers are logits, of a feed or of forward")
    let rows = unsafe try NestedABI.batch(batch, model, .none)
    try object.using { () throws(NestedError) in
      let target = unsafe try OutputsTarget(
        dst, rows, outputs: object.session.outputs, mayPool: true, model.runtime.budget)
      unsafe try withRun(run, call, "predict", total: rows.batch * rows.length) {
        (control: RunControl) throws(NestedError) in
        try withExtendedLifetime(rows) { () throws(NestedError) in
          try object.session.predict(
            rows.input, batch: rows.batch, length: rows.length, pooled: target.pooled, into: target.floats,
            control: control)
        }
      }
      target.deliver()
    }
  }
}
