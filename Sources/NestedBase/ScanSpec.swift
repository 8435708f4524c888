/// What the self-modifying scan computes (SPEC 2), and how one head's state lies in memory.
///
/// Inside the scan every weight is stored input-major, `[n, m]` with n inputs and m outputs, both rounded up to
/// a multiple of 16 and padded with zeros, so that rows times weights are plain row-major products.
@frozen public struct ScanSpec: Sendable, Equatable {
  /// Memories by bit: which are written in context.
  public static let k = 1, v = 2, eta = 4, alpha = 8, mem = 16, q = 32

  public var headDim: Int  // d
  public var hidden: Int  // F of an mlp memory, 0 for a linear one
  public var dot: Bool  // objective -<M k, v̂> instead of ½‖M k - v̂‖²
  public var delta: Bool  // inner_rule dgd: the -η z zᵀ term
  public var outerDelta: Bool  // the same for an mlp's outer weight W1
  public var momentum: Float  // μ
  public var retention: Bool
  public var normalizeValue: Bool
  public var adaptiveQ: Bool
  public var adapt: Int
  public var memoryChunk: Int
  public var projectionChunk: Int
  public var readsToken: Bool  // o_t at state t-1 instead of at the chunk's start
  public var etaMax: Float

  public init(
    headDim: Int, hidden: Int, dot: Bool, delta: Bool, outerDelta: Bool, momentum: Float,
    retention: Bool, normalizeValue: Bool, adaptiveQ: Bool, adapt: Int, memoryChunk: Int,
    projectionChunk: Int, readsToken: Bool, etaMax: Float
  ) {
    self.headDim = headDim
    self.hidden = hidden
    self.dot = dot
    self.delta = delta
    self.outerDelta = outerDelta
    self.momentum = momentum
    self.retention = retention
    self.normalizeValue = normalizeValue
    self.adaptiveQ = adaptiveQ
    self.adapt = adapt
    self.memoryChunk = memoryChunk
    self.projectionChunk = projectionChunk
    self.readsToken = readsToken
    self.etaMax = etaMax
  }

  @inlinable public var isMLP: Bool { hidden > 0 }
  @inlinable public var d: Int { roundUp16(headDim) }  // padded head width
  @inlinable public var f: Int { roundUp16(hidden) }  // padded hidden width

  /// Columns of the units. A linear memory's projections share one input-major matrix, because they are
  /// written with the same key: k, then η and α in one block of 16, then v, then q if adaptive.
  @inlinable public var unitCount: Int { isMLP ? (adaptiveQ ? 6 : 5) : 2 }
  /// The last unit is the memory that is read; those before are the projections.
  @inlinable public var projectionUnits: Int { unitCount - 1 }

  /// The units of an mlp: k, v, eta, alpha, (q), mem; of a linear memory: the projection stack, mem.
  @inlinable public func unit(_ index: Int) -> UnitSpec {
    let last = index == unitCount - 1
    let chunk = last ? memoryChunk : projectionChunk
    let bits: Int
    let columns: Int
    if last {
      bits = ScanSpec.mem
      columns = d
    } else if isMLP {
      switch index {
      case 0: bits = ScanSpec.k
      case 1: bits = ScanSpec.v
      case 2: bits = ScanSpec.eta
      case 3: bits = ScanSpec.alpha
      default: bits = ScanSpec.q
      }
      columns = index == 2 || index == 3 ? 16 : d
    } else {
      bits = ScanSpec.k | ScanSpec.v | ScanSpec.eta | ScanSpec.alpha | (adaptiveQ ? ScanSpec.q : 0)
      columns = 2 * d + 16 + (adaptiveQ ? d : 0)
    }
    return UnitSpec(
      members: bits, adapted: bits & adapt,
      inner: WeightLayout(n: d, m: isMLP ? f : columns, chunk: chunk, momentum: momentum != 0),
      outer: WeightLayout(n: isMLP ? f : 0, m: columns, chunk: chunk, momentum: momentum != 0),
      columns: columns)
  }

  /// Floats of one head's state.
  public var stateSize: Int {
    var size = 0
    for index in 0..<unitCount { size += unit(index).stateSize }
    return size
  }
  public func stateOffset(_ index: Int) -> Int {
    var size = 0
    for before in 0..<index { size += unit(before).stateSize }
    return size
  }
}

@inlinable @inline(__always) public func roundUp16(_ n: Int) -> Int { (n + 15) / 16 * 16 }

/// Memories that are written together: one matrix (linear), or W2 (`inner`) and W1 (`outer`) of an mlp.
@frozen public struct UnitSpec: Sendable {
  public let members: Int
  public let adapted: Int
  public let inner: WeightLayout
  public let outer: WeightLayout  // size 0 for a linear memory
  public let columns: Int
  public init(members: Int, adapted: Int, inner: WeightLayout, outer: WeightLayout, columns: Int) {
    self.members = members
    self.adapted = adapted
    self.inner = inner
    self.outer = outer
    self.columns = columns
  }
  @inlinable public var stateSize: Int { inner.size + outer.size }
}

/// One weight's streaming state: its value at the chunk's start, and the chunk's rank-one writes since then.
///
///     W_t = g W_c - κ S_c - Σ_s z_s ⊗ (coef_s R_s + mcoef_s G_s)      input-major, s over the pending rows
@frozen public struct WeightLayout: Sendable {
  public let n: Int, m: Int, chunk: Int
  public let momentum: Bool
  public init(n: Int, m: Int, chunk: Int, momentum: Bool) {
    self.n = n
    self.m = m
    self.chunk = chunk
    self.momentum = momentum
  }
  @inlinable public var matrix: Int { n * m }
  @inlinable var rows: Int { roundUp16(chunk) }
  @inlinable public var s: Int { matrix }  // S_c [n, m]
  @inlinable public var z: Int { s + (momentum ? matrix : 0) }  // Z [chunk, n]
  @inlinable public var r: Int { z + chunk * n }  // R [chunk, m]
  @inlinable public var g: Int { r + chunk * m }  // G [chunk, m], with momentum only
  @inlinable public var coef: Int { g + (momentum ? chunk * m : 0) }  // Γ(t, s)
  @inlinable public var mcoef: Int { coef + rows }  // Σ_{s≤j≤t} Γ(t, j) η_j μ^{j-s}
  @inlinable public var powers: Int { mcoef + (momentum ? rows : 0) }  // μ^{t-s}
  @inlinable public var scalars: Int { powers + (momentum ? rows : 0) }  // g, κ, μ^{t-c}, pending rows
  @inlinable public var size: Int { n == 0 ? 0 : scalars + 16 }
}

/// What the forward pass keeps of one head for the backward pass, in floats from the head's trace on.
@frozen public struct ScanTrace: Sendable {
  public let spec: ScanSpec
  public let rows: Int  // T
  public let start: Int  // stream position of the first row
  public let streams: Bool  // starts from a session's state, which is then kept too

  public init(_ spec: ScanSpec, rows: Int, start: Int, streams: Bool) {
    self.spec = spec
    self.rows = rows
    self.start = start
    self.streams = streams
  }

  @inlinable var padded: Int { roundUp16(rows) }
  @inlinable public var k: Int { 0 }  // [T, d]
  @inlinable public var v: Int { rows * spec.d }
  @inlinable public var q: Int { v + rows * spec.d }
  @inlinable public var eta: Int { q + rows * spec.d }  // [T], then alpha, |k|, |v|, |q| before l2
  @inlinable public var alpha: Int { eta + padded }
  @inlinable public var kNorm: Int { alpha + padded }
  @inlinable public var vNorm: Int { kNorm + padded }
  @inlinable public var qNorm: Int { vNorm + padded }
  /// Rows and scalars alone: all that a pass without gradients needs.
  @inlinable public var rowsSize: Int { qNorm + padded }

  @inlinable public var initialState: Int { rowsSize }
  @inlinable public func unit(_ index: Int) -> Int {
    var offset = rowsSize + (streams ? spec.stateSize : 0)
    for before in 0..<index { offset += UnitTrace(spec, before, self).size }
    return offset
  }
  @inlinable public var size: Int { unit(spec.unitCount) }
}

/// The part of a trace that belongs to one unit: x_t, g_t and what was read, row by row, and W_c per chunk.
@frozen public struct UnitTrace: Sendable {
  public let unit: UnitSpec
  public let rows: Int, reads: Bool
  public let chunks: Int  // chunks that the rows touch
  public init(_ spec: ScanSpec, _ index: Int, _ trace: ScanTrace) {
    unit = spec.unit(index)
    rows = trace.rows
    reads = index == spec.unitCount - 1
    let chunk = unit.inner.chunk
    chunks = trace.rows == 0 ? 0 : (trace.start + trace.rows - 1) / chunk - trace.start / chunk + 1
  }
  @inlinable public var innerX: Int { 0 }  // [T, m]
  @inlinable public var innerG: Int { rows * unit.inner.m }
  @inlinable public var innerY: Int { 2 * rows * unit.inner.m }  // what was read, [T, m], last unit only
  @inlinable var afterInner: Int { innerY + (reads ? rows * unit.inner.m : 0) }
  @inlinable public var outerZ: Int { afterInner }  // φ(W2 k) [T, F]
  @inlinable public var outerX: Int { outerZ + rows * unit.outer.n }
  @inlinable public var outerG: Int { outerX + (unit.outer.n == 0 ? 0 : rows * unit.outer.m) }
  @inlinable public var outerY: Int { outerG + (unit.outer.n == 0 ? 0 : rows * unit.outer.m) }
  @inlinable public var outerQ: Int {  // φ of what the inner weight read [T, F]
    outerY + (reads && unit.outer.n > 0 ? rows * unit.outer.m : 0)
  }
  @inlinable public var checkpoints: Int { outerQ + (reads ? rows * unit.outer.n : 0) }
  /// Floats of one checkpoint: W_c (and S_c) of both weights.
  @inlinable public var innerCheckpoint: Int { unit.inner.matrix * (unit.inner.momentum ? 2 : 1) }
  @inlinable public var outerCheckpoint: Int { unit.outer.matrix * (unit.outer.momentum ? 2 : 1) }
  @inlinable public var checkpointSize: Int { innerCheckpoint + outerCheckpoint }
  @inlinable public var size: Int { checkpoints + chunks * checkpointSize }
}
