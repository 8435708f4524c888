internal import CNested

/// What a model's tensor is.
public struct TensorInfo: Hashable, Sendable {
  /// "blocks.0.cms.1.up.weight"
  public let name: String
  /// Its place among the model's tensors.
  public let index: Int
  /// Extents, outermost first.
  public let shape: [Int]
  /// The block it belongs to, or `nil`.
  public let layer: Int?
  /// The CMS level it belongs to, or `nil`.
  public let level: Int?
  /// Its first element in ``Model/parameters`` and in ``Gradient/values``.
  public let flatOffset: Int
  /// Its number of elements.
  public let count: Int
}

extension Model {
  /// The tensors, in an order that the configuration fixes.
  public var tensors: [TensorInfo] {
    get throws(NestedError) {
      var result: [TensorInfo] = []
      for index in 0..<Int(unsafe handle.use { unsafe nested_model_tensor_count($0) }) {
        result.append(try tensorInfo(index))
      }
      return result
    }
  }

  private func tensorInfo(_ index: Int) throws(NestedError) -> TensorInfo {
    var record = unsafe nested_tensor_info.stamped()
    try check(unsafe handle.use { unsafe nested_model_tensor_at($0, Int64(index), &record) })
    let extents = unsafe [
      record.shape.0, record.shape.1, record.shape.2, record.shape.3, record.shape.4,
      record.shape.5,
    ]
    return unsafe TensorInfo(
      name: handle.use { _ in unsafe String(cString: record.name) }, index: index,
      shape: extents.prefix(Int(record.ndim)).map { Int($0) },
      layer: record.layer < 0 ? nil : Int(record.layer),
      level: record.level < 0 ? nil : Int(record.level), flatOffset: Int(record.flat_offset),
      count: Int(record.n_elements))
  }

  private func index(of name: String) throws(NestedError) -> Int {
    let name = try cText(name, place: "name")
    var index: Int64 = 0
    try check(unsafe handle.use { unsafe nested_model_tensor_find($0, name, &index) })
    return Int(index)
  }

  /// A copy of a tensor.
  ///
  /// - Throws: ``Status/notFound``.
  public func tensor(named name: String) throws(NestedError) -> Tensor {
    let info = try tensorInfo(index(of: name))
    var values = [Float](repeating: 0, count: info.count)
    try check(
      unsafe withView(&values, shape: info.shape) { view in
        unsafe handle.use { unsafe nested_model_tensor_get($0, Int64(info.index), view) }
      })
    return Tensor(unchecked: info.shape, values)
  }

  /// Copies values into a tensor. Sessions that run at the time see the old or the new weights,
  /// never a mixture in one chunk; a trainer keeps its optimizer state.
  ///
  /// - Throws: ``Status/notFound``; ``Status/shape``; ``Status/numeric`` when a value is not
  ///   finite.
  public func setTensor(named name: String, to tensor: Tensor) throws(NestedError) {
    let index = try Int64(index(of: name))
    try check(
      unsafe withView(of: tensor.values, shape: tensor.shape) { view in
        unsafe handle.use { unsafe nested_model_tensor_set($0, index, view) }
      })
  }

  /// A copy of all parameters, in flat order (``TensorInfo/flatOffset``).
  public var parameters: [Float] {
    get throws(NestedError) {
      var values = [Float](repeating: 0, count: try info.parameters)
      try check(unsafe handle.use { unsafe nested_model_params_get($0, &values, values.count) })
      return values
    }
  }

  /// Copies all parameters in.
  ///
  /// - Throws: ``Status/shape`` when their number is another; ``Status/numeric`` when one is not
  ///   finite.
  public func setParameters(_ values: [Float]) throws(NestedError) {
    try check(unsafe handle.use { unsafe nested_model_params_set($0, values, values.count) })
  }
}
