import NestedBase
import NestedTensor

/// Titans (SPEC 5.3, paper.md 7.1, T1 eqs 26-31) on its neural memory M, with A causal attention over a window and
/// the persistent tokens:
///
///     lmm  Mixer(n) = ( RMSNorm_head(M(n)) ⊙ silu(n W_G) ) W_O                         the memory alone
///     mag  Mixer(n) = ( RMSNorm_head(A(n)) ⊙ silu(RMSNorm(M(n))) ) W_O                 as a gate
///     mal  Mixer(n) = A( RMSNorm_head(M(n)) ⊙ silu(n W_G) ) W_O                        as a layer before attention
///
/// T1 puts persistent tokens before the text. Here they are keys and values of their own, without a position; for the memory the
/// learnt initial state takes their part, which is what a memory would be that had read them.
struct Titans: Mixer {
  private let mode: TitansMode
  private let memory: NeuralMemory
  private let attention: CausalAttention?
  private let heads: Int
  private let eps: Float
  private let norm: Int, headNorm: Int, gate: Int, memoryNorm: Int, out: Int

  static func addParameters(
    to layout: inout ParameterLayout.Builder, _ path: String, _ c: ModelConfiguration
  ) {
    let width = c.dModel, mode = c.titans.mode
    layout.add("\(path).norm.weight", [width], .constant(1))
    NeuralMemory.addParameters(to: &layout, path, c)
    if mode != .lmm {
      CausalAttention.addParameters(to: &layout, "\(path).attention", c, persistent: c.titans.persistent)
    }
    layout.add("\(path).head_norm.weight", [width], .constant(1))
    if mode == .mag {
      layout.add("\(path).memory_norm.weight", [width], .constant(1))
    } else {
      layout.addProjection("\(path).gate.weight", width, width)
    }
    layout.addOutput("\(path).out.weight", width, width, c)
  }

  init(_ c: ModelConfiguration, _ layout: ParameterLayout, path: String) {
    mode = c.titans.mode
    memory = NeuralMemory(c, layout, path: path)
    attention =
      mode == .lmm ? nil : CausalAttention(c, layout, path: "\(path).attention", window: c.titans.window)
    (heads, eps) = (c.nHeads, c.normEps)
    func at(_ name: String) -> Int { layout.index(of: "\(path).\(name).weight") ?? -1 }
    (norm, headNorm, gate, memoryNorm, out) = (
      at("norm"), at("head_norm"), at("gate"), at("memory_norm"), at("out")
    )
  }

  var stateSize: Int { memory.stateSize }
  var rowSize: Int { attention?.rowSize ?? 0 }
  func initialize(_ state: Floats, _ p: Parameters) { memory.initialize(state, p) }

  func forward(
    _ engine: Engine, _ p: Parameters, _ x: Tensor, batch: Int, stream: LayerStream?
  ) throws(NestedError) -> Tensor {
    let n = try engine.rmsNorm(x, p[norm], eps: eps)
    let read = try memory.forward(
      engine, p, n, batch: batch, state: stream?.state, position: stream?.position ?? 0,
      writes: stream?.writes ?? true)
    var o: Tensor
    if mode == .mag, let attention {
      o = try attention.forward(engine, p, n, batch: batch, stream: stream)
      o = try engine.gatedHeadNorm(
        o, p[headNorm], try engine.rmsNorm(read, p[memoryNorm], eps: eps), heads: heads, eps: eps)
    } else {
      o = try engine.gatedHeadNorm(
        read, p[headNorm], try engine.linear(n, p[gate]), heads: heads, eps: eps)
      if let attention { o = try attention.forward(engine, p, o, batch: batch, stream: stream) }
    }
    return try engine.residual(x, try engine.linear(o, p[out]))
  }
}
