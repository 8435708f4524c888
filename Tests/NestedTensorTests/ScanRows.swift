import NestedBase
import NestedTensor

// The self-modifying scan over its options, and the composition of plain operations that defines it.

/// Options of one scan row; the defaults are SPEC 2's with small odd sizes.
struct ScanOptions: Sendable, CustomStringConvertible {
  var name = ""
  var spec = ScanSpec(
    headDim: 5, hidden: 0, dot: false, delta: true, outerDelta: true, momentum: 0, retention: true,
    normalizeValue: true, adaptiveQ: false,
    adapt: ScanSpec.k | ScanSpec.v | ScanSpec.eta | ScanSpec.alpha | ScanSpec.mem, memoryChunk: 5,
    projectionChunk: 4, readsToken: true, etaMax: 1)
  var batch = 2, heads = 2
  var truncate = 0
  /// Rows of one sequence at which the battery runs.
  var sizes = [1, 7, 17]
  var description: String { name }
  var width: Int { heads * spec.headDim }

  /// [H, outputs, inputs] of every memory parameter.
  var memoryShapes: [[Int]] {
    ScanInDouble.members(spec).flatMap { (member: Int) -> [[Int]] in
      let outputs = member == ScanSpec.eta || member == ScanSpec.alpha ? 1 : spec.headDim
      return spec.isMLP
        ? [[heads, spec.hidden, spec.headDim], [heads, outputs, spec.hidden]]
        : [[heads, outputs, spec.headDim]]
    }
  }

  /// u, uv, q [B T, H d], the memories, and both biases [H].
  func shapes(_ length: Int) -> [[Int]] {
    [[Int]](repeating: [batch * length, width], count: 3) + memoryShapes + [[heads], [heads]]
  }

  func inDouble(_ x: [[Double]], _ length: Int) -> [Double] {
    var o = [Double](repeating: 0, count: batch * length * width)
    let d = spec.headDim, perMemory = spec.isMLP ? 2 : 1, shapes = memoryShapes
    for b in 0..<batch {
      for h in 0..<heads {
        let matrices = shapes.indices.map { i -> [[Double]] in
          let (rows, columns) = (shapes[i][1], shapes[i][2])
          return (0..<rows).map { r in
            let at = (h * rows + r) * columns
            return Array(x[3 + i][at..<at + columns])
          }
        }
        let weights = stride(from: 0, to: matrices.count, by: perMemory).map {
          Array(matrices[$0..<$0 + perMemory])
        }
        var scan = ScanInDouble(spec, weights)
        for t in 0..<length {
          let at = (b * length + t) * width + h * d
          let row = { (i: Int) in Array(x[i][at..<at + d]) }
          let out = scan.step(
            t, u: row(0), uv: row(1), q: row(2), etaBias: x[x.count - 2][h],
            alphaBias: x[x.count - 1][h])
          for j in 0..<d { o[at + j] = out[j] }
        }
      }
    }
    return o
  }

  /// Livelier than initial values: no gradient is small by accident. q is shorter, as if it were normalised.
  func deviation(_ input: Int) -> Double {
    if input == 2 && !spec.adaptiveQ { return 1 / Double(spec.headDim).squareRoot() }
    if input < 3 || input >= 3 + memoryShapes.count { return 1 }
    return 0.5 / Double(memoryShapes[input - 3][2]).squareRoot()
  }

  func row(_ name: String, plain: Bool = false) -> OpRow {
    let o = self
    let fused: @Sendable (Engine, [Tensor], Int) throws -> Tensor = { engine, x, _ in
      try engine.selfModifyingScan(
        o.spec, u: x[0], uv: x[1], q: x[2], memories: Array(x[3..<x.count - 2]),
        etaBias: x[x.count - 2], alphaBias: x[x.count - 1], batch: o.batch, truncate: o.truncate)
    }
    let reference: @Sendable (Engine, [Tensor], Int) throws -> Tensor = { engine, x, _ in
      try engine.scanReference(
        o.spec, u: x[0], uv: x[1], q: x[2], memories: Array(x[3..<x.count - 2]),
        etaBias: x[x.count - 2], alphaBias: x[x.count - 1], batch: o.batch, truncate: o.truncate)
    }
    var row = OpRow(
      name: name, shapes: o.shapes, apply: plain ? reference : fused, oracle: o.inDouble,
      reference: plain ? nil : reference)
    row.hasOracleGradient = o.truncate == 0
    row.sizes = o.sizes
    row.twice = plain
    row.large = plain ? 5 : 250
    row.failing = plain ? 1 : 7
    row.deviation = o.deviation
    if o.spec.momentum != 0 { row.valueTolerance = 1e-4 }
    return row
  }
}

extension OpRow {
  private static func scan(
    _ name: String, _ change: (inout ScanOptions) -> Void
  ) -> ScanOptions {
    var options = ScanOptions()
    change(&options)
    options.name = "scan: " + name
    return options
  }
  private static func mlp(_ name: String, _ change: (inout ScanOptions) -> Void = { _ in })
    -> ScanOptions
  {
    scan("mlp" + name) {
      $0.spec.hidden = 7
      change(&$0)
    }
  }

  static let scans: [OpRow] =
    scanOptions.map { $0.row($0.name) } + [
      reference("linear") { _ in },
      reference("mlp, momentum, adaptive query") {
        ($0.spec.hidden, $0.spec.momentum, $0.spec.adaptiveQ) = (3, 0.5, true)
        $0.spec.adapt |= ScanSpec.q
      },
    ]

  static let scanOptions: [ScanOptions] = [
    scan("linear") { $0.sizes = [1, 7, 17, 63] },
    scan("chunks of 1") { ($0.spec.memoryChunk, $0.spec.projectionChunk) = (1, 1) },
    scan("chunks of 4") { ($0.spec.memoryChunk, $0.spec.projectionChunk) = (4, 4) },
    scan("chunks of 5 and 16") { ($0.spec.memoryChunk, $0.spec.projectionChunk) = (5, 16) },
    scan("chunks of 16, head width 17") {
      ($0.spec.memoryChunk, $0.spec.projectionChunk, $0.spec.headDim) = (16, 16, 17)
      $0.sizes = [1, 7, 17, 63]
    },
    scan("head width 16, three heads") { ($0.spec.headDim, $0.heads, $0.batch) = (16, 3, 1) },
    scan("dot") { $0.spec.dot = true },
    scan("gd") { ($0.spec.delta, $0.spec.outerDelta) = (false, false) },
    scan("momentum") { $0.spec.momentum = 0.5 },
    scan("momentum, gd, dot") {
      ($0.spec.momentum, $0.spec.delta, $0.spec.outerDelta, $0.spec.dot) = (0.5, false, false, true)
    },
    scan("no retention") { ($0.spec.retention, $0.spec.etaMax) = (false, 0.5) },
    scan("values not normalised") { ($0.spec.normalizeValue, $0.spec.etaMax) = (false, 0.1) },
    scan("adaptive query") {
      $0.spec.adaptiveQ = true
      $0.spec.adapt |= ScanSpec.q
    },
    scan("adaptive query, not written") { $0.spec.adaptiveQ = true },
    scan("only mem adapts") { $0.spec.adapt = ScanSpec.mem },
    scan("only k and v adapt") { $0.spec.adapt = ScanSpec.k | ScanSpec.v },
    scan("only eta adapts") { $0.spec.adapt = ScanSpec.eta },
    scan("alpha and mem adapt, momentum") {
      ($0.spec.adapt, $0.spec.momentum) = (ScanSpec.alpha | ScanSpec.mem, 0.5)
    },
    scan("nothing adapts") { $0.spec.adapt = 0 },
    scan("chunk read") { $0.spec.readsToken = false },
    scan("truncated") { $0.truncate = 5 },
    scan("truncated twice a chunk's length, momentum") {
      ($0.truncate, $0.spec.memoryChunk, $0.spec.projectionChunk, $0.spec.momentum) = (8, 4, 7, 0.5)
    },
    mlp(""),
    mlp(", decay") { $0.spec.outerDelta = false },
    mlp(", gd") { ($0.spec.delta, $0.spec.outerDelta) = (false, false) },
    mlp(", dot, chunk read") { ($0.spec.dot, $0.spec.readsToken) = (true, false) },
    mlp(", momentum, decay") { ($0.spec.momentum, $0.spec.outerDelta) = (0.5, false) },
    mlp(", adaptive query") {
      $0.spec.adaptiveQ = true
      $0.spec.adapt |= ScanSpec.q
    },
    mlp(", v and mem adapt, chunks of 1 and 16") {
      $0.spec.adapt = ScanSpec.v | ScanSpec.mem
      ($0.spec.memoryChunk, $0.spec.projectionChunk) = (1, 16)
    },
    mlp(", truncated, momentum") { ($0.truncate, $0.spec.momentum) = (5, 0.5) },
    mlp(", values not normalised") { ($0.spec.normalizeValue, $0.spec.etaMax) = (false, 0.1) },
  ]

  /// The composition itself: the path to second derivatives.
  private static func reference(_ name: String, _ change: (inout ScanOptions) -> Void) -> OpRow {
    var options = ScanOptions()
    options.spec.headDim = 3
    (options.spec.memoryChunk, options.spec.projectionChunk) = (3, 2)
    options.sizes = [1, 7]
    change(&options)
    return options.row("scanReference: " + name, plain: true)
  }
}
