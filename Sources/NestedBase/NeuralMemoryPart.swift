/// The shape of a neural memory of one head (Titans, paper.md 7.1) and of a stream's state.
///
///     hidden = 0   M(x) = W x
///     else         M(x) = x + LN( W1 gelu(W2 x) )          LN(y) = (y - mean y) / √(var y + 1)
///
/// The state is [weights, momentum], and with chunks of more than one token the weights at the chunk's start besides.
/// Weights are kept input by input: W [d, d]; or W2 [d, hidden], then W1 [hidden, d].
public struct NeuralMemorySpec: Sendable, Equatable {
  public let d: Int, hidden: Int
  /// Tokens whose gradients are taken at one state; the first of them is a multiple of it.
  public let chunk: Int

  @inlinable
  public init(d: Int, hidden: Int, chunk: Int) { (self.d, self.hidden, self.chunk) = (d, hidden, chunk) }

  /// Inside LN's root. So large that no output changes by more than y does: with the usual small one a memory that has
  /// forgotten much is rewritten by every token, and the recurrence is chaotic (NestedKernels/README.md).
  public static let normEps: Float = 1

  @inlinable public var weights: Int { hidden == 0 ? d * d : 2 * d * hidden }
  @inlinable public var stateSize: Int { (chunk > 1 ? 3 : 2) * weights }
}

/// What the memory of one head of one sequence reads and writes over `rows` tokens, the first at `position`:
///
///     S_t = η_t S_{t-1} - θ_t ∇ ½‖M_c(k_t) - v_t‖²,   M_t = (1 - α_t) M_{t-1} + S_t,   o_t = M_t(q_t)
///
/// Without `writes` the memory stays as it is, and k, v, α, η, θ are not looked at.
public struct NeuralMemoryPart: Sendable {
  public let spec: NeuralMemorySpec
  public let rows: Int, position: Int
  public let writes: Bool
  public let q: Floats, k: Floats, v: Floats, o: Floats  // [rows, stride], d of each row
  public let stride: Int
  public let alpha: Floats, eta: Floats, theta: Floats  // [rows, gateStride], one of each row
  public let gateStride: Int

  @inlinable
  public init(
    spec: NeuralMemorySpec, rows: Int, position: Int, writes: Bool, q: Floats, k: Floats, v: Floats, o: Floats,
    stride: Int, alpha: Floats, eta: Floats, theta: Floats, gateStride: Int
  ) {
    (self.spec, self.rows, self.position, self.writes) = (spec, rows, position, writes)
    (self.q, self.k, self.v, self.o, self.stride) = (q, k, v, o, stride)
    (self.alpha, self.eta, self.theta, self.gateStride) = (alpha, eta, theta, gateStride)
  }
}

/// Gradients of a `NeuralMemoryPart`, laid out like what they belong to, overwritten. Without writes only dq is.
public struct NeuralMemoryGradients: Sendable {
  public let dO: Floats, dq: Floats, dk: Floats, dv: Floats
  public let dAlpha: Floats, dEta: Floats, dTheta: Floats

  @inlinable
  public init(
    dO: Floats, dq: Floats, dk: Floats, dv: Floats, dAlpha: Floats, dEta: Floats, dTheta: Floats
  ) {
    (self.dO, self.dq, self.dk, self.dv) = (dO, dq, dk, dv)
    (self.dAlpha, self.dEta, self.dTheta) = (dAlpha, dEta, dTheta)
  }
}
