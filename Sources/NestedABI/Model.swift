public import CNested
internal import NestedBase
internal import NestedModels
internal import NestedTensor

// Section 7 of the header: weights. Their files are in ModelFiles.swift, single tensors in ModelTensors.swift.

@_cdecl("nested_model_create")
public func nested_model_create(
  _ context: OpaquePointer?, _ config: OpaquePointer?, _ seed: UInt64,
  _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> nested_status {
  call("nested_model_create") { call throws(NestedError) in
    let out = unsafe try NewHandle(out)
    let context = unsafe try call.context(context)
    let config = unsafe try call.config(config)
    let configuration = try config.gate.withLock("config") { () throws(NestedError) in config.value
    }
    try configuration.validate()
    let model = try Model(runtime: context.runtime, configuration: configuration, seed: seed)
    try out.publish(.model, ModelObject(model, context))
    call.log(
      Int(NESTED_LOG_INFO), "model",
      "made with \(model.layout.count) parameters in \(model.layout.entries.count) tensors")
  }
}

@_cdecl("nested_model_clone")
public func nested_model_clone(
  _ model: OpaquePointer?, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> nested_status {
  call("nested_model_clone") { call throws(NestedError) in
    let out = unsafe try NewHandle(out)
    let object = unsafe try call.model(model)
    let copy = try object.reading { () throws(NestedError) in try object.model.clone() }
    try out.publish(.model, ModelObject(copy, object.context))
  }
}

@_cdecl("nested_model_retain")
public func nested_model_retain(_ model: OpaquePointer?) -> nested_status {
  unsafe retain(model, .model, "nested_model_retain", "model")
}

@_cdecl("nested_model_release")
public func nested_model_release(_ model: OpaquePointer?) { unsafe handles.release(model, .model) }

@_cdecl("nested_model_get_info")
public func nested_model_get_info(
  _ model: OpaquePointer?, _ out: UnsafeMutablePointer<nested_model_info>?
) -> nested_status {
  call("nested_model_get_info") { call throws(NestedError) in
    let out = unsafe try Output(out, "out")
    let object = unsafe try call.model(model)
    let model = object.model
    let c = model.configuration
    var info = nested_model_info()
    info.kind = c.kind.number
    info.task = c.task.number
    info.n_layers = Int32(clamping: c.blockCount)
    info.n_levels = Int32(clamping: c.levels.count)
    info.dtype = Int32(NESTED_F32)
    info.vocab = Int64(c.vocab)
    info.d_model = Int64(c.dModel)
    info.n_inputs = Int64(c.inputs)
    info.n_outputs = Int64(c.outputCount)
    info.n_tensors = UInt64(model.layout.entries.count)
    info.n_params = UInt64(model.layout.count)
    info.weight_bytes = UInt64(model.layout.count) * 4
    info.version = try object.reading { () throws(NestedError) in model.version }
    info.fingerprint = c.fingerprint
    out.write(info)
  }
}

@_cdecl("nested_model_get_config")
public func nested_model_get_config(
  _ model: OpaquePointer?, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> nested_status {
  call("nested_model_get_config") { call throws(NestedError) in
    let out = unsafe try NewHandle(out)
    try out.publish(.config, ConfigObject(unsafe call.model(model).model.configuration))
  }
}
