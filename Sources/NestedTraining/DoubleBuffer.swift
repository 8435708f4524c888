/// A few doubles at an address that outlives a call: the target count that is lent out, partial
/// sums that lanes write side by side. The one place of this target that owns raw memory.
@safe package final class DoubleBuffer {
  package let pointer: UnsafeMutablePointer<Double>
  package let count: Int

  init(count: Int) {
    self.count = count
    unsafe pointer = .allocate(capacity: count)
    unsafe pointer.initialize(repeating: 0, count: count)
  }

  deinit { unsafe pointer.deallocate() }

  package subscript(i: Int) -> Double {
    get {
      precondition(i >= 0 && i < count)
      return unsafe pointer[i]
    }
    set {
      precondition(i >= 0 && i < count)
      unsafe pointer[i] = newValue
    }
  }

  func fill(_ value: Double) {
    for i in 0..<count { self[i] = value }
  }
}
