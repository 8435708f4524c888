import NestedBase
import NestedTensor
import Oracle

/// The library's scan on the oracle's numbers.
struct ScanUnderTest {
  let options: OracleOptions
  let spec: ScanSpec
  let engine: Engine

  init(_ o: OracleOptions, kernels: KernelSet = KernelSet.current!) throws {
    options = o
    var adapt = 0
    let bits = [
      "k": ScanSpec.k, "v": ScanSpec.v, "eta": ScanSpec.eta, "alpha": ScanSpec.alpha,
      "mem": ScanSpec.mem, "q": ScanSpec.q,
    ]
    for name in o.adapt { adapt |= bits[name]! }
    spec = ScanSpec(
      headDim: o.headDim, hidden: o.memory == .mlp ? o.memoryHidden : 0, dot: o.objective == .dot,
      delta: o.innerRule == .dgd, outerDelta: o.innerRule == .dgd && o.outerRule == .dgd,
      momentum: Float(o.innerMomentum), retention: o.retention, normalizeValue: o.normalizeValue,
      adaptiveQ: o.adaptiveQ, adapt: adapt, memoryChunk: o.memoryChunk,
      projectionChunk: o.projectionChunk, readsToken: o.read == .token, etaMax: Float(o.etaMax))
    engine = Engine(
      kernels: kernels, threads: try ThreadPool(threads: 1), budget: MemoryBudget())
    engine.memory.poisons = true
  }

  /// Random rows, q normalised per head unless a memory reads it.
  static func rows(_ o: OracleOptions, _ length: Int, seed: UInt64) -> OracleScan.Rows {
    var random = OracleRandom(seed)
    func matrix() -> [[Double]] {
      (0..<length).map { _ in (0..<o.width).map { _ in Double(Float(random.normal())) } }
    }
    let u = matrix()
    let uv = o.inputProjection == .separate ? matrix() : u
    var q = matrix()
    if !o.adaptiveQ {
      for t in q.indices {
        for h in 0..<o.heads {
          let range = h * o.headDim..<(h + 1) * o.headDim
          let norm = (q[t][range].reduce(0) { $0 + $1 * $1 } + 1e-6).squareRoot()
          for i in range { q[t][i] = Double(Float(q[t][i] / norm)) }
        }
      }
    }
    return OracleScan.Rows(u: u, uv: uv, q: q)
  }

  static func dO(_ o: OracleOptions, _ length: Int, seed: UInt64) -> [[Double]] {
    var random = OracleRandom(seed)
    return (0..<length).map { _ in (0..<o.width).map { _ in Double(Float(random.normal())) } }
  }

  func tensor(_ rows: [[Double]]) throws -> Tensor {
    try engine.tensor(rows.flatMap { $0.map { Float($0) } }, Shape(rows.count, options.width))
  }

  /// Names of the memories' parameters in the order of the operation.
  var memoryNames: [String] {
    options.memoryNames.flatMap { b in
      options.memory == .linear ? ["memory.\(b).w"] : ["memory.\(b).w2", "memory.\(b).w1"]
    }
  }

  func parameter(_ name: String, _ values: [String: [Double]]) throws -> Tensor {
    let path = "blocks.0.mixer.\(name)"
    let shape = options.parameterShapes.first { $0.name == path }!.shape
    return try engine.tensor(values[path]!.map { Float($0) }, Shape(shape))
  }

  /// The two forms that the library has for whole rows.
  enum Form { case chunked, recurrence }

  struct Result {
    var o: [Double] = []
    var gradients: [String: [Double]] = [:]
    /// Final weights under the names of the parameters within the mixer.
    var weights: [String: [Double]] = [:]
  }

  /// All rows as one fresh sequence, with gradients.
  func run(
    _ form: Form, _ values: [String: [Double]], _ rows: OracleScan.Rows, dO: [[Double]]
  ) throws -> Result {
    let tape = Tape()
    engine.tape = tape
    defer { engine.tape = nil }
    var variables: [String: Tensor] = [:]
    for (name, matrix) in [("u", rows.u), ("uv", rows.uv), ("q", rows.q)] {
      variables[name] = tape.variable(try tensor(matrix))
    }
    for name in memoryNames + ["eta_bias", "alpha_bias"] {
      variables[name] = tape.variable(try parameter(name, values))
    }
    let memories = memoryNames.map { variables[$0]! }
    let truncate = options.truncateBPTT * options.memoryChunk
    var result = Result()
    let o: Tensor
    switch form {
    case .chunked:
      let final = try engine.memory.take(options.heads * spec.stateSize)
      o = try engine.selfModifyingScan(
        spec, u: variables["u"]!, uv: variables["uv"]!, q: variables["q"]!, memories: memories,
        etaBias: variables["eta_bias"]!, alphaBias: variables["alpha_bias"]!, batch: 1,
        truncate: truncate, final: final.floats)
      result.weights = weights((0..<options.heads * spec.stateSize).map { final.floats[$0] })
    case .recurrence:
      let members = [
        ScanSpec.k: "k", ScanSpec.v: "v", ScanSpec.eta: "eta", ScanSpec.alpha: "alpha",
        ScanSpec.mem: "mem", ScanSpec.q: "q",
      ]
      o = try engine.scanReference(
        spec, u: variables["u"]!, uv: variables["uv"]!, q: variables["q"]!, memories: memories,
        etaBias: variables["eta_bias"]!, alphaBias: variables["alpha_bias"]!, batch: 1,
        truncate: truncate
      ) { member, tensors in
        let parts = tensors.count == 1 ? ["w"] : ["w2", "w1"]
        for (part, tensor) in zip(parts, tensors) {
          result.weights["memory.\(members[member]!).\(part)"] = tensor.array.map { Double($0) }
        }
      }
    }
    result.o = o.array.map { Double($0) }
    try tape.backward(engine, from: o, seed: try tensor(dO))
    for (name, variable) in variables {
      result.gradients[name] =
        tape.gradient(variable)?.array.map { Double($0) }
        ?? [Double](repeating: 0, count: variable.count)
    }
    return result
  }

  /// The state of a fresh stream, [H, stateSize].
  func freshState(_ values: [String: [Double]]) throws -> Storage {
    let state = try engine.memory.take(options.heads * spec.stateSize)
    spec.initialize(
      state.floats, heads: options.heads,
      memories: try memoryNames.map { try parameter($0, values) })
    return state
  }

  /// Rows `range` of a stream, without gradients; `state` is advanced.
  func advance(
    _ values: [String: [Double]], _ rows: OracleScan.Rows, _ range: Range<Int>, _ state: Storage,
    writes: Bool = true
  ) throws -> [Float] {
    try engine.selfModifyingScan(
      spec, u: tensor(Array(rows.u[range])), uv: tensor(Array(rows.uv[range])),
      q: tensor(Array(rows.q[range])), memories: memoryNames.map { try parameter($0, values) },
      etaBias: parameter("eta_bias", values), alphaBias: parameter("alpha_bias", values), batch: 1,
      stream: ScanStream(state: state.floats, position: range.lowerBound, writes: writes)
    ).array
  }

  /// Gradients of u, uv and q for rows from `from` on, which continue a stream.
  func continued(
    _ values: [String: [Double]], _ rows: OracleScan.Rows, from: Int, dO: [[Double]]
  ) throws -> Result {
    let state = try freshState(values)
    if from > 0 { _ = try advance(values, rows, 0..<from, state) }
    let tape = Tape()
    engine.tape = tape
    defer { engine.tape = nil }
    let u = tape.variable(try tensor(Array(rows.u[from...])))
    let uv = tape.variable(try tensor(Array(rows.uv[from...])))
    let q = tape.variable(try tensor(Array(rows.q[from...])))
    let o = try engine.selfModifyingScan(
      spec, u: u, uv: uv, q: q, memories: memoryNames.map { try parameter($0, values) },
      etaBias: parameter("eta_bias", values), alphaBias: parameter("alpha_bias", values), batch: 1,
      stream: ScanStream(state: state.floats, position: from, writes: true),
      truncate: options.truncateBPTT * options.memoryChunk)
    var result = Result(o: o.array.map { Double($0) })
    try tape.backward(engine, from: o, seed: try tensor(dO))
    for (name, variable) in [("u", u), ("uv", uv), ("q", q)] {
      result.gradients[name] =
        tape.gradient(variable)?.array.map { Double($0) }
        ?? [Double](repeating: 0, count: variable.count)
    }
    return result
  }
}

extension ScanUnderTest {
  /// A memory's weight now, from the streaming state: W_t = g W_c - κ S_c - Σ_s z_s ⊗ (coef_s R_s + mcoef_s G_s).
  /// Names and layouts as the parameters: [H, outputs, inputs].
  func weights(_ state: [Float]) -> [String: [Double]] {
    var out: [String: [Double]] = [:]
    for head in 0..<options.heads {
      let base = head * spec.stateSize
      for index in 0..<spec.unitCount {
        let unit = spec.unit(index)
        let at = base + spec.stateOffset(index)
        let inner = matrix(state, at, unit.inner)
        let names: [(String, Int, Int)]  // memory, first column, outputs
        let d = spec.d
        if spec.isMLP {
          let single = ["k", "v", "eta", "alpha"] + (spec.adaptiveQ ? ["q", "mem"] : ["mem"])
          let name = single[index]
          let outputs = name == "eta" || name == "alpha" ? 1 : spec.headDim
          out["memory.\(name).w2", default: []] += block(
            inner, unit.inner.m, 0, spec.hidden, spec.headDim)
          let outer = matrix(state, at + unit.inner.size, unit.outer)
          out["memory.\(name).w1", default: []] += block(
            outer, unit.outer.m, 0, outputs, spec.hidden)
          continue
        }
        if index == spec.unitCount - 1 {
          names = [("mem", 0, spec.headDim)]
        } else {
          names =
            [
              ("k", 0, spec.headDim), ("eta", d, 1), ("alpha", d + 1, 1),
              ("v", d + 16, spec.headDim),
            ]
            + (spec.adaptiveQ ? [("q", 2 * d + 16, spec.headDim)] : [])
        }
        // Columns of a memory that is not written hold still while their neighbours' factors move.
        let start = matrix(state, at, unit.inner, startOnly: true)
        for (name, column, outputs) in names {
          let source = options.adapt.contains(name) ? inner : start
          out["memory.\(name).w", default: []] += block(
            source, unit.inner.m, column, outputs, spec.headDim)
        }
      }
    }
    return out
  }

  /// [n, m], input-major.
  private func matrix(_ state: [Float], _ at: Int, _ l: WeightLayout, startOnly: Bool = false)
    -> [Double]
  {
    func value(_ i: Int) -> Double { Double(state[at + i]) }
    var w = (0..<l.n * l.m).map { value($0) }
    if startOnly { return w }
    let rows = Int(value(l.scalars + 3))
    for i in w.indices {
      w[i] = value(l.scalars) * w[i] - (l.momentum ? value(l.scalars + 1) * value(l.s + i) : 0)
    }
    for row in 0..<rows {
      for i in 0..<l.n {
        for j in 0..<l.m {
          var r = value(l.coef + row) * value(l.r + row * l.m + j)
          if l.momentum { r += value(l.mcoef + row) * value(l.g + row * l.m + j) }
          w[i * l.m + j] -= value(l.z + row * l.n + i) * r
        }
      }
    }
    return w
  }

  private func block(_ w: [Double], _ m: Int, _ column: Int, _ outputs: Int, _ inputs: Int)
    -> [Double]
  {
    (0..<outputs).flatMap { i in (0..<inputs).map { j in w[j * m + column + i] } }
  }
}

extension OracleMixerState {
  /// The weights now, under the names of the parameters within the mixer.
  func weights(_ o: OracleOptions) -> [String: [Double]] {
    var out: [String: [Double]] = [:]
    for (b, heads) in memories {
      for memory in heads {
        if o.memory == .linear {
          out["memory.\(b).w", default: []] += memory.weights[0].values
        } else {
          out["memory.\(b).w2", default: []] += memory.weights[0].values
          out["memory.\(b).w1", default: []] += memory.weights[1].values
        }
      }
    }
    return out
  }
}
