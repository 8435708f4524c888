/// What a linear memory of one head of one sequence reads and writes over `rows` tokens (paper.md 7.2, 7.4).
///
///     u_t = β_t (v_t - α_t S_{t-1}ᵀ k_t)   with the delta rule, else v_t
///     S_t = α_t S_{t-1} + k_t u_tᵀ          S [d, e]
///     o_t = S_tᵀ q_t
public struct LinearMemoryPart: Sendable {
  public let d: Int, e: Int  // widths of keys and values
  public let rows: Int
  public let q: Floats, k: Floats  // [rows, keyStride], d of each row
  public let keyStride: Int
  public let v: Floats, o: Floats  // [rows, valueStride], e of each row
  public let valueStride: Int
  public let alpha: Floats  // [rows, gateStride], one of each row
  public let beta: Floats?  // the same; nil: no delta rule
  public let gateStride: Int

  @inlinable
  public init(
    d: Int, e: Int, rows: Int, q: Floats, k: Floats, keyStride: Int, v: Floats, o: Floats,
    valueStride: Int, alpha: Floats, beta: Floats?, gateStride: Int
  ) {
    (self.d, self.e, self.rows) = (d, e, rows)
    (self.q, self.k, self.keyStride) = (q, k, keyStride)
    (self.v, self.o, self.valueStride) = (v, o, valueStride)
    (self.alpha, self.beta, self.gateStride) = (alpha, beta, gateStride)
  }
}

/// Gradients of a `LinearMemoryPart`, laid out like what they belong to, overwritten.
public struct LinearMemoryGradients: Sendable {
  public let dO: Floats, dq: Floats, dk: Floats, dv: Floats, dAlpha: Floats
  public let dBeta: Floats?

  @inlinable
  public init(dO: Floats, dq: Floats, dk: Floats, dv: Floats, dAlpha: Floats, dBeta: Floats?) {
    (self.dO, self.dq, self.dk, self.dv) = (dO, dq, dk, dv)
    (self.dAlpha, self.dBeta) = (dAlpha, dBeta)
  }
}
