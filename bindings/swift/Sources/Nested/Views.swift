internal import CNested

/// `body` with a dense float32 view of `values`; a scalar has shape [].
func withView<Result>(
  _ values: inout [Float], shape: [Int], _ body: (UnsafePointer<nested_view>) -> Result
) -> Result {
  unsafe values.withUnsafeMutableBufferPointer { buffer in
    var view = unsafe nested_view()
    unsafe view.data = UnsafeMutableRawPointer(buffer.baseAddress)
    unsafe view.dtype = Int32(truncatingIfNeeded: NESTED_F32)
    unsafe view.ndim = Int32(clamping: shape.count)
    unsafe view.shape = sixExtents(shape)
    return unsafe body(&view)
  }
}

/// Elements that C can read.
protocol Element {
  static var constant: Int32 { get }
}

extension Float: Element { static var constant: Int32 { Int32(truncatingIfNeeded: NESTED_F32) } }
extension Int32: Element { static var constant: Int32 { Int32(truncatingIfNeeded: NESTED_I32) } }

/// The same to be read from.
func withView<Value: Element, Result>(
  of values: [Value], shape: [Int], _ body: (UnsafePointer<nested_cview>) -> Result
) -> Result {
  unsafe values.withUnsafeBufferPointer { buffer in
    var view = unsafe nested_cview()
    unsafe view.data = UnsafeRawPointer(buffer.baseAddress)
    unsafe view.dtype = Value.constant
    unsafe view.ndim = Int32(clamping: shape.count)
    unsafe view.shape = sixExtents(shape)
    return unsafe body(&view)
  }
}

private func sixExtents(_ shape: [Int]) -> (Int64, Int64, Int64, Int64, Int64, Int64) {
  func extent(_ axis: Int) -> Int64 { axis < shape.count ? Int64(shape[axis]) : 0 }
  return (extent(0), extent(1), extent(2), extent(3), extent(4), extent(5))
}
