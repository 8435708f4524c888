internal import NestedBase

// Everything C says is checked here, with code that cannot trap, before anything below sees it. A size_t arrives as
// Int: what is too large is negative.

/// No object lies beyond: user addresses end at 2^47, on x86-64 and arm64 alike.
private let addressLimit = 1 << 47

/// Whether something can be there: numbers that stand for a pointer by mistake, such as MAP_FAILED, the offset of a
/// field behind NULL or a size, are none.
func isAddress(_ address: UInt) -> Bool { address >= 4096 && address < UInt(addressLimit) }

/// A pointer that must be there.
func present<P: _Pointer>(_ pointer: P?, _ name: StaticString) throws(NestedError) -> P {
  guard let pointer else { throw nullArgument(name) }
  guard isAddress(UInt(bitPattern: pointer)) else {
    throw NestedError(.argument, "\(name) is not an address.", place: "\(name)")
  }
  return pointer
}

func required<T>(
  _ pointer: UnsafeMutablePointer<T>?, _ name: StaticString
) throws(NestedError) -> UnsafeMutablePointer<T> {
  let pointer = unsafe try present(pointer, name)
  guard Int(bitPattern: pointer) % MemoryLayout<T>.alignment == 0 else { throw misaligned(name) }
  return unsafe pointer
}

func optional<T>(
  _ pointer: UnsafeMutablePointer<T>?, _ name: StaticString
) throws(NestedError) -> UnsafeMutablePointer<T>? {
  unsafe pointer == nil ? nil : try required(pointer, name)
}

func nullArgument(_ name: StaticString) -> NestedError {
  NestedError(.argument, "\(name) is NULL.", place: "\(name)")
}

private func misaligned(_ name: StaticString) -> NestedError {
  NestedError(.layout, "\(name) is not aligned to its element size.", place: "\(name)")
}

/// An array of `count` elements that can exist: not NULL, aligned, inside the address space. `count` 0 is an error
/// too unless `mayBeEmpty`.
func array<T>(
  _ pointer: UnsafePointer<T>?, count: Int, _ name: StaticString, mayBeEmpty: Bool = false
) throws(NestedError) -> UnsafePointer<T> {
  let pointer = unsafe try present(pointer, name)
  try checkExtent(Int(bitPattern: pointer), count: count, of: T.self, name, mayBeEmpty)
  return unsafe pointer
}

func array<T>(
  _ pointer: UnsafeMutablePointer<T>?, count: Int, _ name: StaticString, mayBeEmpty: Bool = false
) throws(NestedError) -> UnsafeMutablePointer<T> {
  let pointer = unsafe try present(pointer, name)
  try checkExtent(Int(bitPattern: pointer), count: count, of: T.self, name, mayBeEmpty)
  return unsafe pointer
}

private func checkExtent<T>(
  _ address: Int, count: Int, of type: T.Type, _ name: StaticString, _ mayBeEmpty: Bool
) throws(NestedError) {
  guard count > 0 || mayBeEmpty && count == 0 else {
    throw NestedError(
      count == 0 ? .argument : .range, "The length of \(name) is \(count < 0 ? "too large" : "0").",
      place: "\(name)")
  }
  guard address % MemoryLayout<T>.alignment == 0 else { throw misaligned(name) }
  let (bytes, overflow) = count.multipliedReportingOverflow(by: MemoryLayout<T>.stride)
  guard !overflow, bytes <= addressLimit, address <= addressLimit - bytes else {
    throw NestedError(.range, "The length of \(name) is too large.", place: "\(name)")
  }
}

/// The product of extents that a caller stated, each at least 1.
func product(_ a: Int, _ b: Int, _ name: StaticString) throws(NestedError) -> Int {
  let (result, overflow) = a.multipliedReportingOverflow(by: b)
  guard !overflow, result <= addressLimit else {
    throw NestedError(.range, "The size of \(name) is too large.", place: "\(name)")
  }
  return result
}

/// Token ids in [0, vocab), or `ignore` where that is allowed.
func tokens(
  _ pointer: UnsafePointer<Int32>?, count: Int, vocab: Int, _ name: StaticString,
  ignore: Int32? = nil,
  mayBeEmpty: Bool = false
) throws(NestedError) -> Tokens {
  let pointer = unsafe try array(pointer, count: count, name, mayBeEmpty: mayBeEmpty)
  for i in 0..<count {
    let token = unsafe pointer[i]
    guard token >= 0 && Int(token) < vocab || token == ignore else {
      throw NestedError(
        .range, "\(name)[\(i)] is \(token); the vocabulary has \(vocab) tokens.",
        place: "\(name)[\(i)]")
    }
  }
  return unsafe Tokens(pointer)
}

func finite(_ value: Double, _ name: StaticString) throws(NestedError) {
  guard value.isFinite else {
    throw NestedError(.numeric, "\(name) is not finite.", place: "\(name)")
  }
}

func flags(_ value: UInt32, allowed: UInt32) throws(NestedError) {
  guard value & ~allowed == 0 else {
    throw NestedError(.argument, "flags has bits that this function does not know.", place: "flags")
  }
}

/// NUL-terminated UTF-8 of less than `limit` bytes.
func text(
  _ pointer: UnsafePointer<CChar>?, _ name: StaticString, limit: Int = 4096
) throws(NestedError) -> String {
  let pointer = unsafe try present(pointer, name)
  guard let length = unsafe boundedLength(pointer, limit: limit) else {
    throw NestedError(.range, "\(name) is longer than \(limit - 1) bytes.", place: "\(name)")
  }
  let bytes = unsafe UnsafeRawBufferPointer(start: pointer, count: length)
  guard let text = unsafe String(validating: bytes, as: UTF8.self) else {
    throw NestedError(.argument, "\(name) is not UTF-8.", place: "\(name)")
  }
  return text
}

/// The most that a text given with a length may have: 16 MiB.
private let textLimit = 16 << 20

/// Bytes of a JSON text whose length may be NESTED_NUL_TERMINATED, which arrives as -1. The parser checks UTF-8.
func jsonBytes(
  _ pointer: UnsafePointer<CChar>?, _ length: Int, _ name: StaticString
) throws(NestedError) -> [UInt8] {
  let pointer = unsafe try present(pointer, name)
  var count = length
  if length == -1 {
    guard let found = unsafe boundedLength(pointer, limit: textLimit) else {
      throw NestedError(.range, "\(name) is longer than 16 MiB.", place: "\(name)")
    }
    count = found
  }
  guard count >= 0, count <= textLimit else {
    throw NestedError(.range, "\(name) is longer than 16 MiB.", place: "\(name)")
  }
  try reserve(2 * count)
  return unsafe [UInt8](UnsafeRawBufferPointer(start: pointer, count: count))
}

// MARK: Structs with struct_size (rule R8)

/// Bytes of a struct beyond which nobody looks for its tail.
private let structLimit = 4096

/// What the struct's first word says, checked: at least 8, and what this library does not know is zero.
private func structSize(
  _ pointer: UnsafeRawPointer, known: Int, _ name: StaticString
) throws(NestedError) -> Int {
  let size = unsafe Int(try present(pointer, name).loadUnaligned(as: UInt32.self))
  guard size >= 8 else {
    throw NestedError(
      .argument, "\(name).struct_size is \(size); set it with NESTED_INIT().",
      place: "\(name).struct_size")
  }
  var dirty = size > structLimit
  if size > known, !dirty {
    for i in known..<size where unsafe pointer.loadUnaligned(fromByteOffset: i, as: UInt8.self) != 0
    {
      dirty = true
    }
  }
  guard !dirty else {
    throw NestedError(
      .version, "\(name) has fields that this library does not know.", place: "\(name).struct_size")
  }
  // The size of every such struct is a multiple of 8; another one must not end inside a pointer.
  return size & ~7
}

/// A copy of the caller's struct; fields that it does not have are those of `zero`.
func input<T>(
  _ pointer: UnsafePointer<T>?, _ zero: T, _ name: StaticString
) throws(NestedError) -> T? {
  guard let pointer = unsafe pointer else { return nil }
  let source = unsafe UnsafeRawPointer(pointer)
  let size = unsafe try structSize(source, known: MemoryLayout<T>.size, name)
  var copy = zero
  unsafe withUnsafeMutableBytes(of: &copy) { bytes in
    guard let base = bytes.baseAddress else { return }
    unsafe base.copyMemory(from: source, byteCount: min(size, bytes.count))
  }
  return copy
}

/// A struct that the library fills: checked before the work, written after it.
@safe struct Output<T> {
  private let pointer: UnsafeMutableRawPointer?
  private let size: Int

  init(_ pointer: UnsafeMutablePointer<T>?, _ name: StaticString, optional: Bool = false)
    throws(NestedError)
  {
    guard let pointer = unsafe pointer else {
      guard optional else { throw nullArgument(name) }
      unsafe self.pointer = nil
      size = 0
      return
    }
    unsafe self.pointer = UnsafeMutableRawPointer(pointer)
    size = unsafe try structSize(UnsafeRawPointer(pointer), known: MemoryLayout<T>.size, name)
  }

  /// Writes all of `value` that the caller has room for, but the first word.
  func write(_ value: T) {
    guard let pointer = unsafe pointer else { return }
    var value = value
    unsafe withUnsafeBytes(of: &value) { bytes in
      let count = min(size, bytes.count) - 4
      guard let base = bytes.baseAddress, count > 0 else { return }
      unsafe (pointer + 4).copyMemory(from: base + 4, byteCount: count)
    }
  }
}
