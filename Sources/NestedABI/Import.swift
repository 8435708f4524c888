public import CNested
internal import NestedBase
internal import NestedCheckpoint
internal import NestedModels
internal import NestedTensor
internal import NestedTraining

// Section 7 of the header: models of other libraries, and levels for a model that has none.

@_cdecl("nested_model_import")
public func nested_model_import(
  _ context: OpaquePointer?, _ path: UnsafePointer<CChar>?, _ run: UnsafePointer<nested_run>?,
  _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> nested_status {
  call("nested_model_import") { call throws(NestedError) in
    let out = unsafe try NewHandle(out)
    let context = unsafe try call.context(context)
    let path = unsafe try filePath(path)
    let model = unsafe try withRun(run, call, "import", total: 0) {
      (control: RunControl) throws(NestedError) in
      try Model.importing(path, runtime: context.runtime, control: control)
    }
    try out.publish(.model, ModelObject(model, context))
    call.log(Int(NESTED_LOG_INFO), "import", "model read from \(path.text)")
  }
}

@_cdecl("nested_model_stack")
public func nested_model_stack(
  _ model: OpaquePointer?, _ cms: UnsafePointer<CChar>?, _ length: Int, _ pretrained: Int32, _ seed: UInt64,
  _ run: UnsafePointer<nested_run>?, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> nested_status {
  call("nested_model_stack") { call throws(NestedError) in
    let out = unsafe try NewHandle(out)
    let object = unsafe try call.model(model)
    var configuration = object.model.configuration
    let json = unsafe cms == nil ? [] : try jsonBytes(cms, length, "cms")
    try configuration.set("/cms", json: (json.isEmpty ? defaultLevels : json).span)
    let stacked = try object.reading { () throws(NestedError) in
      unsafe try withRun(run, call, "stack", total: 1) { (control: RunControl) throws(NestedError) in
        try stackLevels(
          on: object.model, cms: configuration.cms, pretrained: Int(pretrained), seed: seed, control: control)
      }
    }
    try out.publish(.model, ModelObject(stacked, object.context))
  }
}

private let defaultLevels = Array(#"{"levels":[{"chunk":64}]}"#.utf8)
