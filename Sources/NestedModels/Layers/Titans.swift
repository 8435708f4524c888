import NestedBase
import NestedTensor

/// Titans (SPEC 5.3, paper.md 7.1) on its neural memory:
///
///     lmm  Mixer(n) = ( RMSNorm_head(M(n)) ⊙ silu(n W_G) ) W_O                         the memory alone
struct Titans: Mixer {
  private let memory: NeuralMemory
  private let heads: Int
  private let eps: Float
  private let norm: Int, headNorm: Int, gate: Int, out: Int

  static func addParameters(
    to layout: inout ParameterLayout.Builder, _ path: String, _ c: ModelConfiguration
  ) {
    layout.add("\(path).norm.weight", [c.dModel], .constant(1))
    NeuralMemory.addParameters(to: &layout, path, c)
    layout.add("\(path).head_norm.weight", [c.dModel], .constant(1))
    layout.addProjection("\(path).gate.weight", c.dModel, c.dModel)
    layout.addOutput("\(path).out.weight", c.dModel, c.dModel, c)
  }

  init(_ c: ModelConfiguration, _ layout: ParameterLayout, path: String) {
    memory = NeuralMemory(c, layout, path: path)
    (heads, eps) = (c.nHeads, c.normEps)
    func at(_ name: String) -> Int { layout.index(of: "\(path).\(name).weight") ?? -1 }
    (norm, headNorm, gate, out) = (at("norm"), at("head_norm"), at("gate"), at("out"))
  }

  var stateSize: Int { memory.stateSize }
  func initialize(_ state: Floats, _ p: Parameters) { memory.initialize(state, p) }

  func forward(
    _ engine: Engine, _ p: Parameters, _ x: Tensor, batch: Int, stream: LayerStream?
  ) throws(NestedError) -> Tensor {
    let n = try engine.rmsNorm(x, p[norm], eps: eps)
    let o = try memory.forward(
      engine, p, n, batch: batch, state: stream?.state, position: stream?.position ?? 0,
      writes: stream?.writes ?? true)
    let gated = try engine.gatedHeadNorm(
      o, p[headNorm], try engine.linear(n, p[gate]), heads: heads, eps: eps)
    return try engine.residual(x, try engine.linear(gated, p[out]))
  }
}
