public import CNested
internal import NestedBase
internal import NestedModels
internal import NestedTensor
internal import NestedTraining

// Section 12 of the header: a new model out of what sessions have learned.

@_cdecl("nested_model_consolidate")
public func nested_model_consolidate(
  _ model: OpaquePointer?, _ sessions: UnsafePointer<OpaquePointer?>?, _ count: Int,
  _ options: UnsafePointer<nested_consolidation>?, _ run: UnsafePointer<nested_run>?,
  _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> nested_status {
  call("nested_model_consolidate") { call throws(NestedError) in
    let out = unsafe try NewHandle(out)
    let object = unsafe try call.model(model)
    let array = unsafe try NestedABI.array(sessions, count: count, "sessions")
    var list: [SessionObject] = []
    for i in 0..<count { list.append(unsafe try call.session(array[i], "sessions")) }
    let settings = unsafe try consolidation(options, count: count)
    try reserve(8 * object.model.layout.count)
    // Forks: the sessions go on meanwhile.
    var forks: [Session] = []
    for session in list { forks.append(try fork(session)) }
    let merged = try object.reading { () throws(NestedError) in
      unsafe try withRun(run, call, "consolidate", total: 0) {
        (control: RunControl) throws(NestedError) in
        try consolidate(model: object.model, sessions: forks, options: settings, control: control)
      }
    }
    try out.publish(.model, ModelObject(merged, object.context))
  }
}

private func consolidation(
  _ pointer: UnsafePointer<nested_consolidation>?, count: Int
) throws(NestedError) -> ConsolidationOptions {
  var options = ConsolidationOptions()
  guard let given = unsafe try input(pointer, nested_consolidation(), "options") else {
    return options
  }
  for (value, name) in unsafe [
    (given.strength, "options.strength"), (given.max_norm, "options.max_norm"),
  ] as [(Double, StaticString)] {
    try finite(value, name)
    guard value >= 0 else { throw NestedError(.range, "\(name) is negative.", place: "\(name)") }
  }
  unsafe options.levelMask = given.level_mask
  unsafe options.strength = given.strength
  unsafe options.maxNorm = given.max_norm
  if unsafe given.session_weights != nil {
    let weights = unsafe try array(given.session_weights, count: count, "options.session_weights")
    var copy: [Double] = []
    for i in 0..<count {
      let weight = unsafe weights[i]
      try finite(weight, "options.session_weights")
      guard weight >= 0 else {
        throw NestedError(
          .range, "options.session_weights[\(i)] is negative.",
          place: "options.session_weights[\(i)]")
      }
      copy.append(weight)
    }
    guard copy.contains(where: { $0 > 0 }) else {
      throw NestedError(
        .range, "options.session_weights are all 0.", place: "options.session_weights")
    }
    options.weights = copy
  }
  return options
}
