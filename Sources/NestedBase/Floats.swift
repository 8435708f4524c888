/// A bare view of float32 memory: what kernels read and write.
///
/// `Floats` is one pointer and no length. Whoever makes one (Storage, for the most part) owns the memory and
/// keeps it alive for the call; whoever uses one states the sizes it touches, and the operation that calls
/// a kernel has checked them. That is why it is marked safe: the checks stand in one place, above the loops.
@safe @frozen public struct Floats: @unchecked Sendable {
  @usableFromInline let base: UnsafeMutablePointer<Float>

  @inlinable @inline(__always)
  public init(_ base: UnsafeMutablePointer<Float>) { unsafe self.base = base }

  public var pointer: UnsafeMutablePointer<Float> {
    @inlinable @inline(__always) get { unsafe base }
  }

  @inlinable @inline(__always)
  public subscript(i: Int) -> Float {
    get { unsafe base[i] }
    nonmutating set { unsafe base[i] = newValue }
  }

  @inlinable @inline(__always)
  public static func + (view: Floats, offset: Int) -> Floats { unsafe Floats(view.base + offset) }
  @inlinable @inline(__always)
  public static func - (view: Floats, offset: Int) -> Floats { unsafe Floats(view.base - offset) }

  /// 16 floats from `i` on; the address needs no alignment.
  @inlinable @inline(__always)
  public func load16(_ i: Int) -> SIMD16<Float> {
    unsafe UnsafeRawPointer(base + i).loadUnaligned(as: SIMD16<Float>.self)
  }
  @inlinable @inline(__always)
  public func store16(_ v: SIMD16<Float>, _ i: Int) {
    unsafe UnsafeMutableRawPointer(base + i).storeBytes(of: v, as: SIMD16<Float>.self)
  }

  /// `self[0..<count] = source[0..<count]`; the regions may not overlap unless they are equal.
  @inlinable @inline(__always)
  public func copy(from source: Floats, count: Int) {
    unsafe base.update(from: source.base, count: count)
  }
  @inlinable @inline(__always)
  public func fill(_ value: Float, count: Int) {
    unsafe base.update(repeating: value, count: count)
  }
}

/// The same for token ids.
@safe @frozen public struct Tokens: @unchecked Sendable {
  @usableFromInline let base: UnsafePointer<Int32>
  @inlinable @inline(__always)
  public init(_ base: UnsafePointer<Int32>) { unsafe self.base = base }
  @inlinable @inline(__always)
  public subscript(i: Int) -> Int32 { unsafe base[i] }
  @inlinable @inline(__always)
  public static func + (view: Tokens, offset: Int) -> Tokens { unsafe Tokens(view.base + offset) }
}
