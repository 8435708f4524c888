internal import CNested
internal import NestedBase

/// Element types of NESTED_F32 …; raw values are permanent.
enum ElementType: Int32 {
  case f32 = 1, f64 = 2, f16 = 3, bf16 = 4, i32 = 5, i64 = 6, u8 = 7

  var size: Int {
    switch self {
    case .u8: 1
    case .f16, .bf16: 2
    case .f32, .i32: 4
    case .f64, .i64: 8
    }
  }
}

/// A caller's strided array that has been checked: elements that exist, are aligned, and do not overlap.
@safe struct StridedArray {
  let base: UnsafeMutableRawPointer
  let type: ElementType
  let rank: Int
  let shape: InlineArray<6, Int>
  let strides: InlineArray<6, Int>  // in bytes
  let count: Int
  let isDense: Bool

  /// `types`: what is accepted (E_DTYPE otherwise).
  init(
    _ view: nested_view, _ name: StaticString, types: [ElementType]
  ) throws(NestedError) {
    guard let type = unsafe ElementType(rawValue: view.dtype), types.contains(type) else {
      throw NestedError(
        .dtype, unsafe "\(name).dtype \(view.dtype) is not accepted here.", place: "\(name).dtype")
    }
    let rank = unsafe Int(view.ndim)
    guard rank >= 0, rank <= 6 else {
      throw NestedError(.shape, "\(name).ndim is \(rank), not in 0...6.", place: "\(name).ndim")
    }
    let shape = unsafe inlineArray(view.shape)
    let given = unsafe inlineArray(view.strides)
    var count = 1
    for i in 0..<rank {
      // A classifier that knows no label yet has a head without rows.
      guard shape[i] >= 0, shape[i] < 1 << 40 else {
        throw NestedError(.shape, "\(name).shape[\(i)] is \(shape[i]).", place: "\(name).shape")
      }
      let (next, overflow) = count.multipliedReportingOverflow(by: shape[i])
      guard !overflow, next < 1 << 44 else {
        throw NestedError(.shape, "\(name) has too many elements.", place: "\(name).shape")
      }
      count = next
    }
    if count == 0, let nowhere = unsafe UnsafeMutableRawPointer(bitPattern: 4096) {
      unsafe self.base = nowhere
      self.type = type
      self.rank = rank
      self.shape = shape
      strides = InlineArray<6, Int>(repeating: 0)
      self.count = 0
      self.isDense = true
      return
    }
    let (strides, isDense) = try Self.strides(shape, given, rank, type.size, name)
    guard let data = unsafe view.data else {
      throw NestedError(.argument, "\(name).data is NULL.", place: "\(name).data")
    }
    let address = UInt(bitPattern: data)
    guard isAddress(address) else {
      throw NestedError(.argument, "\(name).data is not an address.", place: "\(name).data")
    }
    guard address % UInt(type.size) == 0 else {
      throw NestedError(
        .layout, "\(name).data is not aligned to its element size.", place: "\(name).data")
    }
    // Each term is below 2^40 * 2^47 / 2^40 by the checks in strides(): no overflow.
    var extent = type.size
    for i in 0..<rank { extent += (shape[i] - 1) * strides[i] }
    guard extent <= 1 << 47, address <= UInt(1 << 47 - extent) else {
      throw NestedError(.range, "\(name) reaches beyond the address space.", place: "\(name).data")
    }
    unsafe self.base = data
    self.type = type
    self.rank = rank
    self.shape = shape
    self.strides = strides
    self.count = count
    self.isDense = isDense
  }

  /// Strides in bytes, and whether they are those of a dense row-major array.
  private static func strides(
    _ shape: InlineArray<6, Int>, _ given: InlineArray<6, Int>, _ rank: Int, _ size: Int,
    _ name: StaticString
  ) throws(NestedError) -> (InlineArray<6, Int>, Bool) {
    var dense = InlineArray<6, Int>(repeating: 0)
    var step = size
    for i in (0..<rank).reversed() {
      dense[i] = step
      step *= shape[i]
    }
    var isZero = true
    for i in 0..<rank where given[i] != 0 { isZero = false }
    if isZero { return (dense, true) }

    var isDense = true
    for i in 0..<rank where shape[i] > 1 {
      if given[i] != dense[i] { isDense = false }
      guard given[i] > 0, given[i] % size == 0, given[i] <= (1 << 47) / shape[i] else {
        throw NestedError(
          .layout, "\(name).strides[\(i)] is \(given[i]).", place: "\(name).strides")
      }
    }
    if isDense { return (dense, true) }
    // From the smallest stride up, each must step over everything that the ones before it span.
    var span = size
    var done = InlineArray<6, Bool>(repeating: false)
    for _ in 0..<rank {
      var smallest = -1
      for i in 0..<rank where !done[i] && shape[i] > 1 {
        if smallest < 0 || given[i] < given[smallest] { smallest = i }
      }
      guard smallest >= 0 else { break }
      guard given[smallest] >= span else {
        throw NestedError(.layout, "Elements of \(name) overlap.", place: "\(name).strides")
      }
      span = given[smallest] * (shape[smallest] - 1) + span
      done[smallest] = true
    }
    var strides = given
    for i in 0..<rank where shape[i] == 1 { strides[i] = dense[i] }
    return (strides, false)
  }

  /// Floats in place when the array is dense float32.
  var floats: Floats? {
    guard isDense, type == .f32 else { return nil }
    return unsafe Floats(base.assumingMemoryBound(to: Float.self))
  }

  func hasShape(_ expected: [Int]) -> Bool {
    guard rank == expected.count else { return false }
    for i in 0..<rank where shape[i] != expected[i] { return false }
    return true
  }

  /// Calls `body(i, address)` for elements 0..<limit in row-major order.
  private func forEach(_ limit: Int, _ body: (Int, UnsafeMutableRawPointer) -> Void) {
    var index = InlineArray<6, Int>(repeating: 0)
    var offset = 0
    for i in 0..<min(limit, count) {
      unsafe body(i, base + offset)
      var axis = rank - 1
      while axis >= 0 {
        index[axis] += 1
        offset += strides[axis]
        if index[axis] < shape[axis] { break }
        offset -= strides[axis] * shape[axis]
        index[axis] = 0
        axis -= 1
      }
    }
  }

  /// The first `limit` elements become those of `source`, converted.
  func assign(_ source: Floats, limit: Int = .max) {
    if let floats { return floats.copy(from: source, count: min(limit, count)) }
    switch type {
    case .f32: unsafe forEach(limit) { i, p in unsafe p.storeBytes(of: source[i], as: Float.self) }
    case .f64:
      unsafe forEach(limit) { i, p in unsafe p.storeBytes(of: Double(source[i]), as: Double.self) }
    case .f16:
      unsafe forEach(limit) { i, p in unsafe p.storeBytes(of: halfBits(source[i]), as: UInt16.self)
      }
    case .bf16:
      unsafe forEach(limit) { i, p in
        unsafe p.storeBytes(of: bfloatBits(source[i]), as: UInt16.self)
      }
    case .i32, .i64, .u8: break
    }
  }

  /// All elements of an array of integers.
  var integers: [Int64] {
    var values: [Int64] = []
    values.reserveCapacity(count)
    switch type {
    case .i32: unsafe forEach(count) { _, p in unsafe values.append(Int64(p.load(as: Int32.self))) }
    case .i64: unsafe forEach(count) { _, p in unsafe values.append(p.load(as: Int64.self)) }
    default: break
    }
    return values
  }

  /// All elements as float32; the index of the first that is not finite, or nil.
  func read(into target: Floats) -> Int? {
    switch type {
    case .f32: unsafe forEach(count) { i, p in unsafe target[i] = p.load(as: Float.self) }
    case .f64: unsafe forEach(count) { i, p in unsafe target[i] = Float(p.load(as: Double.self)) }
    case .f16:
      unsafe forEach(count) { i, p in unsafe target[i] = float(halfBits: p.load(as: UInt16.self)) }
    case .bf16:
      unsafe forEach(count) { i, p in
        unsafe target[i] = Float(bitPattern: UInt32(p.load(as: UInt16.self)) << 16)
      }
    case .i32, .i64, .u8: break
    }
    return (0..<count).first { !target[$0].isFinite }
  }
}

private func inlineArray(
  _ t: (Int64, Int64, Int64, Int64, Int64, Int64)
) -> InlineArray<6, Int> {
  [Int(t.0), Int(t.1), Int(t.2), Int(t.3), Int(t.4), Int(t.5)]
}

/// A view by value, as C passes it, which must be there.
func view(
  _ pointer: UnsafePointer<nested_view>?, _ name: StaticString, types: [ElementType]
) throws(NestedError) -> StridedArray {
  let pointer = unsafe try present(pointer, name)
  return unsafe try StridedArray(
    unsafe UnsafeRawPointer(pointer).loadUnaligned(as: nested_view.self), name, types: types)
}

func view(
  _ pointer: UnsafePointer<nested_cview>?, _ name: StaticString, types: [ElementType]
) throws(NestedError) -> StridedArray {
  let pointer = unsafe try present(pointer, name)
  // The two structs have one layout; only the const differs, and a source is only read.
  return unsafe try StridedArray(
    unsafe UnsafeRawPointer(pointer).loadUnaligned(as: nested_view.self), name, types: types)
}

let floatTypes: [ElementType] = [.f32, .f64, .f16, .bf16]
let wideFloatTypes: [ElementType] = [.f32, .f64]

@_cdecl("nested_dtype_size")
public func nested_dtype_size(_ dtype: Int32) -> Int {
  ElementType(rawValue: dtype)?.size ?? 0
}
