public import CNested
internal import NestedBase
internal import NestedModels
internal import NestedTensor

// Section 7 of the header: named tensors and the flat parameter vector.

/// A tensor of a model, by a caller's index.
private func entry(_ object: ModelObject, _ index: Int64) throws(NestedError) -> ParameterEntry {
  let entries = object.model.layout.entries
  guard index >= 0, index < Int64(entries.count) else {
    throw NestedError(
      .range, "index is \(index); the model has \(entries.count) tensors.", place: "index")
  }
  return entries[Int(index)]
}

/// Shapes must match, or the array is 1-D with the same number of elements.
private func checkShape(
  _ array: StridedArray, _ entry: ParameterEntry, _ name: StaticString
) throws(NestedError) {
  guard array.hasShape(entry.shape) || array.hasShape([entry.count]) else {
    throw NestedError(
      .shape, "[\(entry.name)] has shape \(entry.shape), which \(name) does not match.",
      place: "\(name).shape")
  }
}

@_cdecl("nested_model_tensor_count")
public func nested_model_tensor_count(_ model: OpaquePointer?) -> Int64 {
  guard let object = unsafe handles.object(model, .model, as: ModelObject.self) else { return 0 }
  return Int64(object.model.layout.entries.count)
}

@_cdecl("nested_model_tensor_at")
public func nested_model_tensor_at(
  _ model: OpaquePointer?, _ index: Int64, _ out: UnsafeMutablePointer<nested_tensor_info>?
) -> nested_status {
  call("nested_model_tensor_at") { call throws(NestedError) in
    let out = unsafe try Output(out, "out")
    let object = unsafe try call.model(model)
    let entry = try entry(object, index)
    var info = unsafe nested_tensor_info()
    unsafe info.dtype = Int32(NESTED_F32)
    unsafe info.ndim = Int32(clamping: entry.shape.count)
    unsafe info.layer = Int32(clamping: entry.layer)
    unsafe info.level = Int32(clamping: entry.level)
    unsafe info.shape = dimensions(entry.shape)
    unsafe info.n_elements = UInt64(entry.count)
    unsafe info.flat_offset = UInt64(entry.offset)
    unsafe info.name = object.name(Int(index))
    unsafe out.write(info)
  }
}

/// A shape as C has it; entries past the last dimension are 0.
private func dimensions(_ shape: [Int]) -> (Int64, Int64, Int64, Int64, Int64, Int64) {
  func at(_ i: Int) -> Int64 { i < shape.count ? Int64(shape[i]) : 0 }
  return (at(0), at(1), at(2), at(3), at(4), at(5))
}

@_cdecl("nested_model_tensor_find")
public func nested_model_tensor_find(
  _ model: OpaquePointer?, _ name: UnsafePointer<CChar>?, _ out_index: UnsafeMutablePointer<Int64>?
) -> nested_status {
  call("nested_model_tensor_find") { call throws(NestedError) in
    let out = unsafe try required(out_index, "out_index")
    let object = unsafe try call.model(model)
    let name = unsafe try text(name, "name")
    guard let index = object.model.layout.index(of: name) else {
      throw NestedError(.notFound, "The model has no tensor of this name.", place: name)
    }
    unsafe out.pointee = Int64(index)
  }
}

@_cdecl("nested_model_tensor_get")
public func nested_model_tensor_get(
  _ model: OpaquePointer?, _ index: Int64, _ dst: UnsafePointer<nested_view>?
) -> nested_status {
  call("nested_model_tensor_get") { call throws(NestedError) in
    let object = unsafe try call.model(model)
    let entry = try entry(object, index)
    let target = unsafe try view(dst, "dst", types: floatTypes)
    try checkShape(target, entry, "dst")
    try object.withWeights { (weights: Floats) throws(NestedError) in
      target.assign(weights + entry.offset)
    }
  }
}

@_cdecl("nested_model_tensor_set")
public func nested_model_tensor_set(
  _ model: OpaquePointer?, _ index: Int64, _ src: UnsafePointer<nested_cview>?
) -> nested_status {
  call("nested_model_tensor_set") { call throws(NestedError) in
    let object = unsafe try call.model(model)
    let entry = try entry(object, index)
    let source = unsafe try view(src, "src", types: floatTypes)
    try checkShape(source, entry, "src")
    try object.checkWritable()
    // Converted and checked beside the weights first: all or nothing.
    let copy = try Storage(count: entry.count, budget: object.context.runtime.budget)
    if let bad = source.read(into: copy.floats) {
      throw NestedError(
        .numeric, "[\(entry.name)] element \(bad) is not finite in float32.", place: "src")
    }
    try object.model.withMutableWeights { (weights: Floats) throws(NestedError) in
      (weights + entry.offset).copy(from: copy.floats, count: entry.count)
    }
  }
}

@_cdecl("nested_model_tensor_borrow")
public func nested_model_tensor_borrow(
  _ model: OpaquePointer?, _ index: Int64, _ out: UnsafeMutablePointer<nested_cview>?
) -> nested_status {
  call("nested_model_tensor_borrow") { call throws(NestedError) in
    let out = unsafe try required(out, "out")
    let object = unsafe try call.model(model)
    let entry = try entry(object, index)
    var result = unsafe nested_cview()
    unsafe result.dtype = Int32(NESTED_F32)
    unsafe result.ndim = Int32(clamping: entry.shape.count)
    unsafe result.shape = dimensions(entry.shape)
    var strides = [Int](repeating: 4, count: entry.shape.count)
    for i in strides.indices.dropLast().reversed() {
      strides[i] = strides[i + 1] * entry.shape[i + 1]
    }
    unsafe result.strides = dimensions(strides)
    try object.withWeights { (weights: Floats) throws(NestedError) in
      unsafe result.data = UnsafeRawPointer((weights + entry.offset).pointer)
    }
    unsafe out.pointee = result
  }
}

/// The caller's count, which must be that of the model's parameters.
private func checkCount(_ object: ModelObject, _ count: Int) throws(NestedError) {
  guard count == object.model.layout.count else {
    throw NestedError(
      .shape, "count is \(count); the model has \(object.model.layout.count) parameters.",
      place: "count")
  }
}

@_cdecl("nested_model_params_get")
public func nested_model_params_get(
  _ model: OpaquePointer?, _ dst: UnsafeMutablePointer<Float>?, _ count: Int
) -> nested_status {
  call("nested_model_params_get") { call throws(NestedError) in
    let object = unsafe try call.model(model)
    try checkCount(object, count)
    let target = unsafe try array(dst, count: count, "dst")
    try object.withWeights { (weights: Floats) throws(NestedError) in
      unsafe Floats(target).copy(from: weights, count: count)
    }
  }
}

@_cdecl("nested_model_params_set")
public func nested_model_params_set(
  _ model: OpaquePointer?, _ src: UnsafePointer<Float>?, _ count: Int
) -> nested_status {
  call("nested_model_params_set") { call throws(NestedError) in
    let object = unsafe try call.model(model)
    try checkCount(object, count)
    let source = unsafe try array(src, count: count, "src")
    for i in 0..<count where unsafe !source[i].isFinite {
      throw NestedError(.numeric, "src[\(i)] is not finite.", place: "src[\(i)]")
    }
    try object.checkWritable()
    try object.model.withMutableWeights { (weights: Floats) throws(NestedError) in
      unsafe weights.copy(from: Floats(UnsafeMutablePointer(mutating: source)), count: count)
    }
  }
}
