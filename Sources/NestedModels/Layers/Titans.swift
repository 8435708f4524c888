import NestedBase
import NestedTensor

/// Titans (SPEC 5.3, paper.md 7.1, T1 eqs 21-31) on its neural memory M, with A causal attention over a window and
/// the persistent tokens:
///
///     lmm  Mixer(n) = ( RMSNorm_head(M(n)) ⊙ silu(n W_G) ) W_O                         the memory alone
///     mag  Mixer(n) = ( RMSNorm_head(A(n)) ⊙ silu(RMSNorm(M(n))) ) W_O                 as a gate
///     mal  Mixer(n) = A( RMSNorm_head(M(n)) ⊙ silu(n W_G) ) W_O                        as a layer before attention
///     mac  Mixer(n) = ( RMSNorm_head(y) ⊙ silu(RMSNorm(M(y))) ) W_O                    as context: see MemoryAsContext
///
/// T1 puts persistent tokens before the text. Here they are keys and values of their own, without a position; for the memory the
/// learnt initial state takes their part, which is what a memory would be that had read them.
struct Titans: Mixer {
  private let mode: TitansMode
  private let memory: NeuralMemory
  private let attention: CausalAttention?
  private let context: MemoryAsContext?
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
    if mode == .mag || mode == .mac {
      layout.add("\(path).memory_norm.weight", [width], .constant(1))
    } else {
      layout.addProjection("\(path).gate.weight", width, width)
    }
    layout.addOutput("\(path).out.weight", width, width, c)
  }

  init(_ c: ModelConfiguration, _ layout: ParameterLayout, path: String) {
    mode = c.titans.mode
    let memory = NeuralMemory(c, layout, path: path)
    // Mode mac attends within a segment, and there to everything.
    let window = mode == .mac ? 0 : c.titans.window
    let attention =
      mode == .lmm ? nil : CausalAttention(c, layout, path: "\(path).attention", window: window)
    context =
      mode == .mac ? attention.map { MemoryAsContext(memory, $0, segment: c.titans.segment) } : nil
    (self.memory, self.attention) = (memory, attention)
    (heads, eps) = (c.nHeads, c.normEps)
    func at(_ name: String) -> Int { layout.index(of: "\(path).\(name).weight") ?? -1 }
    (norm, headNorm, gate, memoryNorm, out) = (
      at("norm"), at("head_norm"), at("gate"), at("memory_norm"), at("out")
    )
  }

  var stateSize: Int { context?.stateSize ?? memory.stateSize }
  var rowSize: Int { context?.rowSize ?? attention?.rowSize ?? 0 }
  func initialize(_ state: Floats, _ p: Parameters) {
    if let context { context.initialize(state, p) } else { memory.initialize(state, p) }
  }

  func forward(
    _ engine: Engine, _ p: Parameters, _ x: Tensor, batch: Int, stream: LayerStream?
  ) throws(NestedError) -> Tensor {
    let n = try engine.rmsNorm(x, p[norm], eps: eps)
    var o: Tensor
    if let context {
      let (seen, read) = try context.forward(engine, p, n, batch: batch, stream: stream)
      o = try gated(engine, p, seen, by: read)
    } else {
      let read = try memory.forward(
        engine, p, n, batch: batch, state: stream?.state, position: stream?.position ?? 0,
        writes: stream?.writes ?? true)
      if mode == .mag, let attention {
        o = try gated(engine, p, try attention.forward(engine, p, n, batch: batch, stream: stream), by: read)
      } else {
        o = try engine.gatedHeadNorm(
          read, p[headNorm], try engine.linear(n, p[gate]), heads: heads, eps: eps)
        if let attention { o = try attention.forward(engine, p, o, batch: batch, stream: stream) }
      }
    }
    return try engine.residual(x, try engine.linear(o, p[out]))
  }

  /// T1: both normalised with learnable vectors, then σ.
  private func gated(
    _ engine: Engine, _ p: Parameters, _ seen: Tensor, by read: Tensor
  ) throws(NestedError) -> Tensor {
    try engine.gatedHeadNorm(
      seen, p[headNorm], try engine.rmsNorm(read, p[memoryNorm], eps: eps), heads: heads, eps: eps)
  }
}
