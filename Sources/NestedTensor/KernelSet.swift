internal import CNestedShims
package import NestedBase
internal import NestedKernels
internal import NestedKernelsV4

/// The kernels of one CPU class: the same source compiled twice, chosen once by what this processor has.
package struct KernelSet: Sendable {
  /// "x86-64-v3" or "x86-64-v4".
  package let cpuClass: StaticString

  package let gemm: @Sendable (Bool, Bool, Int, Int, Int, Float, Floats, Int, Floats, Int, Float, Floats, Int) -> Void
  package let tileGEMM: @Sendable (Floats, Int, Floats, Int, Floats, Int, Int, Int, Int, Bool) -> Void
  package let tileGEMMTransposedA:
    @Sendable (Floats, Int, Floats, Int, Floats, Int, Int, Int, Int, Bool) -> Void
  package let linearForward: @Sendable (Floats, Int, Floats, Int, Floats, Int, Int, Int, Int, Int) -> Void
  package let packTransposed: @Sendable (Floats, Floats, Int, Int) -> Void
  package let rmsNormForward: @Sendable (Floats, Floats, Floats, Floats, Int, Int, Float) -> Void
  package let rmsNormBackward: @Sendable (Floats, Floats, Floats, Floats, Floats, Floats, Int, Int) -> Void
  package let gatedHeadNormForward: @Sendable (Floats, Floats, Floats, Floats, Floats, Int, Int, Int, Float) -> Void
  package let gatedHeadNormBackward: @Sendable (Floats, Floats, Floats, Floats, Floats, Floats, Floats, Floats, Int, Int, Int) -> Void
  package let l2NormForward: @Sendable (Floats, Floats, Floats, Int, Int, Int) -> Void
  package let l2NormBackward: @Sendable (Floats, Floats, Floats, Floats, Int, Int, Int) -> Void
  package let shortConvForward: @Sendable (Floats, Floats, Floats, Floats, Int, Int, Int) -> Void
  package let shortConvBackward: @Sendable (Floats, Floats, Floats, Floats, Floats, Floats, Int, Int, Int) -> Void
  package let swigluForward: @Sendable (Floats, Floats, Floats, Int) -> Void
  package let swigluBackward: @Sendable (Floats, Floats, Floats, Floats, Floats, Int) -> Void
  package let geluForward: @Sendable (Floats, Floats, Int) -> Void
  package let geluBackward: @Sendable (Floats, Floats, Floats, Int) -> Void
  package let tanh: @Sendable (Floats, Int) -> Void
  package let crossEntropyForward: @Sendable (Floats, Floats, Floats, Tokens, Int, Int) -> Void
  package let crossEntropyBackward: @Sendable (Floats, Floats, Floats, Tokens, Floats, Int, Int) -> Void
  package let embeddingForward: @Sendable (Floats, Floats, Tokens, Int, Int) -> Void
  package let embeddingBackward: @Sendable (Floats, Floats, Tokens, Int, Int) -> Void
  package let attentionForward: @Sendable (AttentionPart, Floats) -> Void
  package let attentionBackward: @Sendable (AttentionPart, AttentionGradients, Floats) -> Void
  package let attentionScratch: Int
  package let linearMemoryForward: @Sendable (LinearMemoryPart, Floats, Floats?, Floats) -> Void
  package let linearMemoryBackward: @Sendable (LinearMemoryPart, LinearMemoryGradients, Floats, Floats) -> Void
  package let linearMemoryScratch: @Sendable (Int, Int) -> Int
  package let memoryStretch: Int
  package let selfReferentialForward: @Sendable (SelfReferentialPart, Floats, Floats?, Floats) -> Void
  package let selfReferentialBackward:
    @Sendable (SelfReferentialPart, Floats, Floats, Floats, Floats, Floats) -> Void
  package let selfReferentialScratch: @Sendable (Int) -> Int
  package let neuralMemoryForward: @Sendable (NeuralMemoryPart, Floats, Floats?, Floats) -> Void
  package let neuralMemoryBackward:
    @Sendable (NeuralMemoryPart, NeuralMemoryGradients, Floats, Floats, Floats) -> Void
  package let neuralMemoryScratch: @Sendable (NeuralMemorySpec) -> Int
  package let rotary: @Sendable (Floats, Floats, Floats, Int, Int, Int, Bool) -> Void
  package let add: @Sendable (Floats, Floats, Floats, Int) -> Void
  package let axpy: @Sendable (Floats, Floats, Float, Int) -> Void
  package let sumOfSquares: @Sendable (Floats, Int) -> Double
  package let allFinite: @Sendable (Floats, Int) -> Bool
  package let adamW: @Sendable (
    Floats, Floats, Floats, Floats, Int, Double, Double, Double, Double, Double, Double, Double, Double
  ) -> Void
  package let sgdMomentum:
    @Sendable (Floats, Floats, Floats, Int, Double, Double, Double, Double, Bool, Bool) -> Void
  package let adagrad: @Sendable (Floats, Floats, Floats, Int, Double, Double, Double, Double) -> Void
  package let preconditionedMomentum: @Sendable (
    Floats, Floats, Floats, Floats, Int, Double, Double, Double, Double, Double, Double, Double
  ) -> Void
  package let scanForward: @Sendable (ScanSpec, ScanForwardArguments) -> Void
  package let scanForwardScratch: @Sendable (ScanSpec) -> Int
  package let scanBackward: @Sendable (ScanSpec, ScanBackwardArguments) -> Void
  package let scanBackwardScratch: @Sendable (ScanSpec, Int) -> Int

  /// The widest class that this processor runs, or nil: older than x86-64-v3.
  package static let current: KernelSet? = {
    switch nested_shim_cpu_level() {
    case 4: return .v4
    case 3: return .v3
    default: return nil
    }
  }()

  package static var v3: KernelSet {
    KernelSet(
      cpuClass: "x86-64-v3",
      gemm: { NestedKernels.gemm(transA: $0, transB: $1, m: $2, n: $3, k: $4, alpha: $5, $6, $7, $8, $9, beta: $10, $11, $12) },
      tileGEMM: { NestedKernels.tileGEMM($0, $1, $2, $3, $4, $5, $6, $7, $8, accumulate: $9) },
      tileGEMMTransposedA: {
        NestedKernels.tileGEMMTransposedA($0, $1, $2, $3, $4, $5, $6, $7, $8, accumulate: $9)
      },
      linearForward: {
        NestedKernels.linearForward(
          $0, ldy: $1, $2, ldx: $3, $4, rows: $5, out: $6, in: $7, firstPanel: $8, panelCount: $9,
          accumulate: false)
      },
      packTransposed: { NestedKernels.packTransposed($0, $1, out: $2, in: $3) },
      rmsNormForward: NestedKernels.rmsNormForward,
      rmsNormBackward: NestedKernels.rmsNormBackward,
      gatedHeadNormForward: NestedKernels.gatedHeadNormForward,
      gatedHeadNormBackward: NestedKernels.gatedHeadNormBackward,
      l2NormForward: NestedKernels.l2NormForward,
      l2NormBackward: NestedKernels.l2NormBackward,
      shortConvForward: NestedKernels.shortConvForward,
      shortConvBackward: NestedKernels.shortConvBackward,
      swigluForward: NestedKernels.swigluForward,
      swigluBackward: NestedKernels.swigluBackward,
      geluForward: NestedKernels.geluForward,
      geluBackward: NestedKernels.geluBackward,
      tanh: NestedKernels.tanhInPlace,
      crossEntropyForward: NestedKernels.crossEntropyForward,
      crossEntropyBackward: NestedKernels.crossEntropyBackward,
      embeddingForward: NestedKernels.embeddingForward,
      embeddingBackward: NestedKernels.embeddingBackward,
      attentionForward: NestedKernels.attentionForward,
      attentionBackward: NestedKernels.attentionBackward,
      attentionScratch: NestedKernels.attentionScratch,
      linearMemoryForward: { NestedKernels.linearMemoryForward($0, state: $1, kept: $2, scratch: $3) },
      linearMemoryBackward: { NestedKernels.linearMemoryBackward($0, $1, kept: $2, scratch: $3) },
      linearMemoryScratch: { NestedKernels.linearMemoryScratch(d: $0, e: $1) },
      memoryStretch: NestedKernels.memoryStretch,
      selfReferentialForward: { NestedKernels.selfReferentialForward($0, state: $1, kept: $2, scratch: $3) },
      selfReferentialBackward: {
        NestedKernels.selfReferentialBackward($0, dY: $1, dx: $2, dState: $3, kept: $4, scratch: $5)
      },
      selfReferentialScratch: { NestedKernels.selfReferentialScratch(d: $0) },
      neuralMemoryForward: { NestedKernels.neuralMemoryForward($0, state: $1, kept: $2, scratch: $3) },
      neuralMemoryBackward: { NestedKernels.neuralMemoryBackward($0, $1, dState: $2, kept: $3, scratch: $4) },
      neuralMemoryScratch: NestedKernels.neuralMemoryScratch,
      rotary: { NestedKernels.rotary($0, $1, $2, $3, $4, $5, backwards: $6) },
      add: NestedKernels.add,
      axpy: NestedKernels.axpy,
      sumOfSquares: NestedKernels.sumOfSquares,
      allFinite: NestedKernels.allFinite,
      adamW: NestedKernels.adamW,
      sgdMomentum: NestedKernels.sgdMomentum,
      adagrad: NestedKernels.adagrad,
      preconditionedMomentum: NestedKernels.preconditionedMomentum,
      scanForward: { spec, x in
        NestedKernels.scanForward(
          spec, o: x.o, state: x.state,
          rows: NestedKernels.ScanRows(u: x.u, uv: x.uv, q: x.q, stride: x.stride), count: x.count, start: x.start,
          etaBias: x.etaBias, alphaBias: x.alphaBias, writes: x.writes, traced: x.traced,
          streams: x.streams, kept: x.kept, scratch: x.scratch)
      },
      scanForwardScratch: NestedKernels.scanForwardScratch,
      scanBackward: { spec, x in
        NestedKernels.scanBackward(
          spec,
          gradients: NestedKernels.ScanGradients(du: x.du, duv: x.duv, dq: x.dq, state: x.dState, biases: x.dBiases),
          dO: x.dO, rows: NestedKernels.ScanRows(u: x.u, uv: x.uv, q: x.q, stride: x.stride), count: x.count,
          start: x.start, streams: x.streams, kept: x.kept, scratch: x.scratch)
      },
      scanBackwardScratch: { NestedKernels.scanBackwardScratch($0, rows: $1) })
  }

  package static var v4: KernelSet {
    KernelSet(
      cpuClass: "x86-64-v4",
      gemm: { NestedKernelsV4.gemm(transA: $0, transB: $1, m: $2, n: $3, k: $4, alpha: $5, $6, $7, $8, $9, beta: $10, $11, $12) },
      tileGEMM: { NestedKernelsV4.tileGEMM($0, $1, $2, $3, $4, $5, $6, $7, $8, accumulate: $9) },
      tileGEMMTransposedA: {
        NestedKernelsV4.tileGEMMTransposedA($0, $1, $2, $3, $4, $5, $6, $7, $8, accumulate: $9)
      },
      linearForward: {
        NestedKernelsV4.linearForward(
          $0, ldy: $1, $2, ldx: $3, $4, rows: $5, out: $6, in: $7, firstPanel: $8, panelCount: $9,
          accumulate: false)
      },
      packTransposed: { NestedKernelsV4.packTransposed($0, $1, out: $2, in: $3) },
      rmsNormForward: NestedKernelsV4.rmsNormForward,
      rmsNormBackward: NestedKernelsV4.rmsNormBackward,
      gatedHeadNormForward: NestedKernelsV4.gatedHeadNormForward,
      gatedHeadNormBackward: NestedKernelsV4.gatedHeadNormBackward,
      l2NormForward: NestedKernelsV4.l2NormForward,
      l2NormBackward: NestedKernelsV4.l2NormBackward,
      shortConvForward: NestedKernelsV4.shortConvForward,
      shortConvBackward: NestedKernelsV4.shortConvBackward,
      swigluForward: NestedKernelsV4.swigluForward,
      swigluBackward: NestedKernelsV4.swigluBackward,
      geluForward: NestedKernelsV4.geluForward,
      geluBackward: NestedKernelsV4.geluBackward,
      tanh: NestedKernelsV4.tanhInPlace,
      crossEntropyForward: NestedKernelsV4.crossEntropyForward,
      crossEntropyBackward: NestedKernelsV4.crossEntropyBackward,
      embeddingForward: NestedKernelsV4.embeddingForward,
      embeddingBackward: NestedKernelsV4.embeddingBackward,
      attentionForward: NestedKernelsV4.attentionForward,
      attentionBackward: NestedKernelsV4.attentionBackward,
      attentionScratch: NestedKernelsV4.attentionScratch,
      linearMemoryForward: { NestedKernelsV4.linearMemoryForward($0, state: $1, kept: $2, scratch: $3) },
      linearMemoryBackward: { NestedKernelsV4.linearMemoryBackward($0, $1, kept: $2, scratch: $3) },
      linearMemoryScratch: { NestedKernelsV4.linearMemoryScratch(d: $0, e: $1) },
      memoryStretch: NestedKernelsV4.memoryStretch,
      selfReferentialForward: { NestedKernelsV4.selfReferentialForward($0, state: $1, kept: $2, scratch: $3) },
      selfReferentialBackward: {
        NestedKernelsV4.selfReferentialBackward($0, dY: $1, dx: $2, dState: $3, kept: $4, scratch: $5)
      },
      selfReferentialScratch: { NestedKernelsV4.selfReferentialScratch(d: $0) },
      neuralMemoryForward: { NestedKernelsV4.neuralMemoryForward($0, state: $1, kept: $2, scratch: $3) },
      neuralMemoryBackward: { NestedKernelsV4.neuralMemoryBackward($0, $1, dState: $2, kept: $3, scratch: $4) },
      neuralMemoryScratch: NestedKernelsV4.neuralMemoryScratch,
      rotary: { NestedKernelsV4.rotary($0, $1, $2, $3, $4, $5, backwards: $6) },
      add: NestedKernelsV4.add,
      axpy: NestedKernelsV4.axpy,
      sumOfSquares: NestedKernelsV4.sumOfSquares,
      allFinite: NestedKernelsV4.allFinite,
      adamW: NestedKernelsV4.adamW,
      sgdMomentum: NestedKernelsV4.sgdMomentum,
      adagrad: NestedKernelsV4.adagrad,
      preconditionedMomentum: NestedKernelsV4.preconditionedMomentum,
      scanForward: { spec, x in
        NestedKernelsV4.scanForward(
          spec, o: x.o, state: x.state,
          rows: NestedKernelsV4.ScanRows(u: x.u, uv: x.uv, q: x.q, stride: x.stride), count: x.count, start: x.start,
          etaBias: x.etaBias, alphaBias: x.alphaBias, writes: x.writes, traced: x.traced,
          streams: x.streams, kept: x.kept, scratch: x.scratch)
      },
      scanForwardScratch: NestedKernelsV4.scanForwardScratch,
      scanBackward: { spec, x in
        NestedKernelsV4.scanBackward(
          spec,
          gradients: NestedKernelsV4.ScanGradients(du: x.du, duv: x.duv, dq: x.dq, state: x.dState, biases: x.dBiases),
          dO: x.dO, rows: NestedKernelsV4.ScanRows(u: x.u, uv: x.uv, q: x.q, stride: x.stride), count: x.count,
          start: x.start, streams: x.streams, kept: x.kept, scratch: x.scratch)
      },
      scanBackwardScratch: { NestedKernelsV4.scanBackwardScratch($0, rows: $1) })
  }
}

/// What `scanForward` takes for one head (see the kernel).
package struct ScanForwardArguments {
  package var o: Floats, state: Floats, u: Floats, uv: Floats, q: Floats
  package var stride: Int, count: Int, start: Int
  package var etaBias: Float, alphaBias: Float
  package var writes: Bool, traced: Bool, streams: Bool
  package var kept: Floats, scratch: Floats

  package init(
    o: Floats, state: Floats, u: Floats, uv: Floats, q: Floats, stride: Int, count: Int, start: Int,
    etaBias: Float, alphaBias: Float, writes: Bool, traced: Bool, streams: Bool, kept: Floats, scratch: Floats
  ) {
    (self.o, self.state, self.u, self.uv, self.q) = (o, state, u, uv, q)
    (self.stride, self.count, self.start) = (stride, count, start)
    (self.etaBias, self.alphaBias) = (etaBias, alphaBias)
    (self.writes, self.traced, self.streams) = (writes, traced, streams)
    (self.kept, self.scratch) = (kept, scratch)
  }
}

/// What `scanBackward` takes for one head (see the kernel).
package struct ScanBackwardArguments {
  package var du: Floats, duv: Floats, dq: Floats, dState: Floats, dBiases: Floats
  package var dO: Floats, u: Floats, uv: Floats, q: Floats
  package var stride: Int, count: Int, start: Int
  package var streams: Bool
  package var kept: Floats, scratch: Floats

  package init(
    du: Floats, duv: Floats, dq: Floats, dState: Floats, dBiases: Floats, dO: Floats, u: Floats, uv: Floats,
    q: Floats, stride: Int, count: Int, start: Int, streams: Bool, kept: Floats, scratch: Floats
  ) {
    (self.du, self.duv, self.dq, self.dState, self.dBiases) = (du, duv, dq, dState, dBiases)
    (self.dO, self.u, self.uv, self.q) = (dO, u, uv, q)
    (self.stride, self.count, self.start, self.streams) = (stride, count, start, streams)
    (self.kept, self.scratch) = (kept, scratch)
  }
}
