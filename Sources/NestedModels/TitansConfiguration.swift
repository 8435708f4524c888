/// How a Titans block combines its memory with attention (paper.md 7.1): not at all, memory as context, as gate, as layer.
package enum TitansMode: String, CaseIterable, Sendable { case lmm, mac, mag, mal }

/// Titans (SPEC 5.3). The values here are the defaults of the library.
package struct TitansConfiguration: Sendable {
  package var mode = TitansMode.lmm
  package var memory = MemoryType.mlp
  package var expansion = 2  // F = expansion · d
  /// 1 is the recurrence itself, and stable whatever the text: a longer chunk adds up gradients taken at one state, which
  /// overshoots where a key repeats.
  package var chunk = 1  // tokens
  package var segment = 64  // tokens
  package var persistent = 16  // tokens
  package var window = 256  // tokens; 0 = all

  /// Initial values of the gates' biases: α ≈ 0.02, η = 0.5, θ ≈ 0.12 θ_max.
  static let initialBiases: (alpha: Float, eta: Float, theta: Float) = (-4, 0, -2)

  /// The largest θ. With keys of length 1 a matrix is stable up to 1 and beyond. An mlp's step grows with its weights: in
  /// short trials on text (512 tokens, width 64) the largest gradient norm was 2e35 with 1 after 120 steps, 16,000 with 0.3
  /// after 500, and below 5 with 0.1.
  package var thetaMax: Float {
    get { givenThetaMax ?? (memory == .linear ? 1 : 0.1) }
    set { givenThetaMax = newValue }
  }
  private var givenThetaMax: Float?

  package init() {}
}
