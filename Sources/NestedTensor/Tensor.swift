package import NestedBase

/// A dense float32 array: a shape over shared storage, and its place on a tape if it is differentiated.
///
/// Values are not changed once an operation has made them.
package struct Tensor {
  package let shape: Shape
  package let storage: Storage
  package let offset: Int
  /// Slot on the engine's tape, -1 for a constant.
  package var slot: Int = -1
  /// The weight `[out, in]` as panels for `linear`, where somebody keeps them; else they are packed per call.
  package var packed: Storage? = nil

  package init(_ shape: Shape, _ storage: Storage, offset: Int = 0) {
    precondition(offset >= 0 && offset + shape.count <= storage.count)
    self.shape = shape
    self.storage = storage
    self.offset = offset
  }

  package var count: Int { shape.count }
  package var floats: Floats { storage.floats + offset }

  /// The same values as a constant.
  package var detached: Tensor {
    var copy = self
    copy.slot = -1
    return copy
  }

  /// The elements, for tests and small results.
  package var array: [Float] { (0..<count).map { floats[$0] } }
}
