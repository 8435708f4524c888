/// What a self-referential weight matrix of one head of one sequence reads and writes over `rows` tokens (paper.md 8,
/// Irie et al. 2022). The state is Wᵀ [d, 3 d + 4]: columns for y, q, k and the four learning rates.
///
///     [y, q̃, k̃, b̃] = W softmax(x)        q = softmax(q̃),  k = softmax(k̃),  β = σ(b̃), one for each block
///     W ← W + (β ⊙ W (q - k)) kᵀ
public struct SelfReferentialPart: Sendable {
  public let d: Int, rows: Int
  public let x: Floats, y: Floats  // [rows, stride], d of each row
  public let stride: Int
  /// Columns of Wᵀ.
  @inlinable public var outputs: Int { 3 * d + 4 }

  @inlinable
  public init(d: Int, rows: Int, x: Floats, y: Floats, stride: Int) {
    (self.d, self.rows, self.x, self.y, self.stride) = (d, rows, x, y, stride)
  }
}
