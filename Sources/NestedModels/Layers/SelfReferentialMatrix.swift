import NestedBase
import NestedTensor

/// Schmidhuber's self-referential weight matrix in the form of Irie et al. 2022 (paper.md 8): one matrix makes the
/// output, its own keys, queries and learning rates, and rewrites itself with the delta rule.
///
///     Mixer(n) = y W_O,  [y, q̃, k̃, b̃] = W_{t-1} softmax(n),  W_t = W_{t-1} + (σ(b̃) ⊙ W_{t-1}(q - k)) kᵀ
struct SelfReferentialMatrix: Mixer {
  private let heads: Int, d: Int
  private let eps: Float
  private let norm: Int, out: Int
  private let blocks: [Int]  // y, q, k, b

  static func addParameters(
    to layout: inout ParameterLayout.Builder, _ path: String, _ c: ModelConfiguration
  ) {
    let (heads, d) = (c.nHeads, c.headDim)
    layout.add("\(path).norm.weight", [c.dModel], .constant(1))
    layout.add("\(path).memory.y.w", [heads, d, d], .normal(variance: 1, fanIn: d))
    layout.add("\(path).memory.q.w", [heads, d, d], .normal(variance: 1e-4, fanIn: d))
    layout.add("\(path).memory.k.w", [heads, d, d], .normal(variance: 1, fanIn: d))
    // softmax(n) sums to 1, so rates begin at σ(-1).
    layout.add("\(path).memory.b.w", [heads, 4, d], .constant(-1))
    layout.addOutput("\(path).out.weight", c.dModel, c.dModel, c)
  }

  init(_ c: ModelConfiguration, _ layout: ParameterLayout, path: String) {
    (heads, d, eps) = (c.nHeads, c.headDim, c.normEps)
    func at(_ name: String) -> Int { layout.index(of: "\(path).\(name)") ?? -1 }
    (norm, out) = (at("norm.weight"), at("out.weight"))
    blocks = ["y", "q", "k", "b"].map { at("memory.\($0).w") }
  }

  var stateSize: Int { heads * d * (3 * d + 4) }
  func initialize(_ state: Floats, _ p: Parameters) {
    Engine.selfReferentialState(state, blocks.map { p[$0] }, heads: heads)
  }

  func forward(
    _ engine: Engine, _ p: Parameters, _ x: Tensor, batch: Int, stream: LayerStream?
  ) throws(NestedError) -> Tensor {
    let n = try engine.rmsNorm(x, p[norm], eps: eps)
    let y = try engine.selfReferential(
      n, weights: blocks.map { p[$0] }, heads: heads, batch: batch, state: stream?.state)
    return try engine.residual(x, try engine.linear(y, p[out]))
  }
}
