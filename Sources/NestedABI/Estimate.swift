public import CNested
internal import NestedBase
internal import NestedModels
internal import NestedTraining

// Section 6 of the header: what a configuration costs.

/// Counting walks every operation of a row, and some rows have very many.
private func checkIsCounted(_ c: ModelConfiguration, _ length: Int) throws(NestedError) {
  guard c.levels.isEmpty || c.cms.meta != .exact else {
    throw NestedError(.unsupported, "The work of meta exact is not counted.", place: "/cms/meta")
  }
  let longest = 1024
  if c.kind == .titans, c.titans.mode == .mac, length / c.titans.segment > longest {
    throw NestedError(
      .range, "seq_len is \(length); at most \(longest) segments of \(c.titans.segment) are counted.", place: "seq_len")
  }
  if !c.levels.isEmpty, c.cms.meta == .firstOrder, length / c.segment > longest {
    throw NestedError(
      .range, "seq_len is \(length); at most \(longest) segments of \(c.segment) are counted.", place: "seq_len")
  }
}

@_cdecl("nested_config_estimate")
public func nested_config_estimate(
  _ config: OpaquePointer?, _ n_seq: Int64, _ seq_len: Int64, _ out: UnsafeMutablePointer<nested_estimate>?
) -> nested_status {
  call("nested_config_estimate") { call throws(NestedError) in
    let out = unsafe try Output(out, "out")
    let object = unsafe try call.config(config)
    guard n_seq >= 1 && n_seq <= Int(Int32.max) else {
      throw NestedError(.range, "n_seq is \(n_seq); it must be between 1 and \(Int32.max).", place: "n_seq")
    }
    guard seq_len >= 1 && seq_len <= Estimate.longest else {
      throw NestedError(
        .range, "seq_len is \(seq_len); it must be between 1 and \(Estimate.longest).", place: "seq_len")
    }
    let configuration = try object.gate.withLock("config") { () throws(NestedError) in object.value }
    try configuration.validate()
    try checkIsCounted(configuration, Int(seq_len))
    let estimate = try Estimate(configuration, batch: Int(n_seq), length: Int(seq_len))
    var result = nested_estimate()
    result.n_params = UInt64(estimate.parameters)
    result.weight_bytes = UInt64(estimate.weightBytes)
    result.trainer_bytes = UInt64(estimate.trainerBytes)
    result.activation_bytes = UInt64(estimate.activationBytes)
    result.session_bytes = UInt64(estimate.sessionBytes)
    result.flops_forward = estimate.flopsForward
    result.flops_train = estimate.flopsTrain
    out.write(result)
  }
}
