import Glibc

/// Titans' neural memory of one head (paper.md 7.1), one token at a time. Weights are [out, in], as the papers have them.
package struct OracleNeuralMemory {
  private let chunk: Int
  package private(set) var weights: [Matrix]  // W; or W2, W1
  package private(set) var momentum: [Matrix]
  private var start: [Matrix] = []

  package init(_ weights: [Matrix], chunk: Int) {
    self.weights = weights
    self.chunk = chunk
    momentum = weights.map { .zero($0.rows, $0.cols) }
  }

  package func read(_ tape: ScalarTape, _ x: [Num]) -> [Num] { Self.evaluate(tape, weights, x).value }

  package mutating func write(
    _ tape: ScalarTape, k: [Num], v: [Num], alpha: Num, eta: Num, theta: Num, position: Int
  ) {
    if position % chunk == 0 { start = weights }
    let gradients = Self.gradients(tape, start, k, v)
    let keep = tape.subtract(Num(1), alpha)
    for i in weights.indices {
      let (g, z) = gradients[i]
      let step = g.map { tape.scale(tape.multiply(theta, $0), -1) }
      momentum[i] = tape.scaleAddOuter(eta, momentum[i], step, z)
      weights[i].data = zip(weights[i].data, momentum[i].data).map { tape.add(tape.multiply(keep, $0), $1) }
    }
  }

  private struct Layers { var a: [Num] = [], h: [Num] = [], y: [Num] = [], value: [Num] = [] }

  private static func evaluate(_ tape: ScalarTape, _ w: [Matrix], _ x: [Num]) -> Layers {
    if w.count == 1 { return Layers(value: tape.apply(w[0], x)) }
    let a = tape.apply(w[0], x)
    let h = a.map(tape.gelu)
    let y = tape.apply(w[1], h)
    return Layers(a: a, h: h, y: y, value: tape.add(x, tape.layerNorm(y)))
  }

  /// ∇ ½‖M(k) - v‖² of each weight as g zᵀ.
  private static func gradients(_ tape: ScalarTape, _ w: [Matrix], _ k: [Num], _ v: [Num]) -> [(g: [Num], z: [Num])] {
    let at = evaluate(tape, w, k)
    let error = tape.subtract(at.value, v)
    if w.count == 1 { return [(error, k)] }
    let outer = tape.layerNormBackward(error, at.y)
    let back = tape.applyTransposed(w[1], outer)
    return [(tape.multiply(back, at.a.map(tape.geluSlope)), k), (outer, at.h)]
  }
}

/// The kind `titans`.
package struct OracleTitans: OracleStreamMixer {
  /// What the memory is: all there is, a gate for attention, a layer before it, context for it.
  package enum Mode: Sendable { case alone, gate, layer, context }

  package struct Options: Sendable {
    package var mode = Mode.alone
    package var heads = 2, kvHeads = 2, chunk = 1, window = 0, segment = 0
    package var thetaMax = 1.0
    package init(
      mode: Mode = .alone, heads: Int = 2, kvHeads: Int = 2, chunk: Int = 1, window: Int = 0,
      segment: Int = 0, thetaMax: Double = 1
    ) {
      (self.mode, self.heads, self.kvHeads, self.chunk) = (mode, heads, kvHeads, chunk)
      (self.window, self.segment, self.thetaMax) = (window, segment, thetaMax)
    }
  }

  private let o: Options, width: Int, d: Int
  private let p: [String: [Num]]
  private var memories: [OracleNeuralMemory]
  private var attention: OracleAttention?
  private var start: [OracleNeuralMemory] = []  // at the segment's start
  private var tails: [String: [[Num]]] = [:]  // the last inputs of each convolution

  package init(_ options: Options, _ p: [String: [Num]], width: Int) {
    (o, self.p, self.width) = (options, p, width)
    let d = width / options.heads
    self.d = d
    if options.mode != .alone {
      var own: [String: [Num]] = [:]
      for (name, value) in p where name.hasPrefix("attention.") { own[String(name.dropFirst(10))] = value }
      attention = OracleAttention(
        .init(heads: options.heads, kvHeads: options.kvHeads, headDim: d, window: options.window), own, width: width)
    }
    memories = (0..<options.heads).map { h in
      func matrix(_ name: String, rows: Int? = nil) -> Matrix {
        let all = p["memory.mem.\(name)"]!
        let count = all.count / options.heads, rows = rows ?? count / d
        return Matrix(rows, count / rows, Array(all[h * count..<(h + 1) * count]))
      }
      return OracleNeuralMemory(
        p["memory.mem.w"] != nil ? [matrix("w")] : [matrix("w2"), matrix("w1", rows: d)], chunk: options.chunk)
    }
  }

  private func project(_ tape: ScalarTape, _ name: String, _ n: [Num], _ rows: Int) -> [Num] {
    tape.apply(Matrix(rows, n.count, p["\(name).weight"]!), n)
  }

  private mutating func convolved(_ tape: ScalarTape, _ name: String, _ n: [Num], tail: String? = nil) -> [Num] {
    let zeros = [Num](repeating: Num(0), count: width)
    let inputs = (tails[tail ?? name] ?? [zeros, zeros, zeros]) + [project(tape, name, n, width)]
    tails[tail ?? name] = Array(inputs.suffix(3))
    let w = p["\(name)_conv.weight"]!
    return (0..<width).map { c in tape.silu(tape.dot(inputs.map { $0[c] }, Array(w[c * 4..<c * 4 + 4]))) }
  }

  private func head(_ x: [Num], _ h: Int) -> [Num] { Array(x[h * d..<(h + 1) * d]) }

  /// The memory's output for the token n [D].
  private mutating func remember(_ tape: ScalarTape, _ n: [Num], position: Int) -> [Num] {
    let q = convolved(tape, "q", n, tail: "q of the memory's input"), k = convolved(tape, "k", n), v = convolved(tape, "v", n)
    func gate(_ name: String) -> [Num] {
      tape.add(project(tape, name, n, o.heads), p["\(name)_bias"]!).map(tape.sigmoid)
    }
    let (alpha, eta, theta) = (gate("alpha"), gate("eta"), gate("theta"))
    var out: [Num] = []
    for h in 0..<o.heads {
      memories[h].write(
        tape, k: tape.l2(head(k, h)), v: head(v, h), alpha: alpha[h], eta: eta[h],
        theta: tape.scale(theta[h], o.thetaMax), position: position)
      out += memories[h].read(tape, tape.l2(head(q, h)))
    }
    return out
  }

  private func headNorm(_ tape: ScalarTape, _ x: [Num], _ name: String) -> [Num] {
    (0..<o.heads).flatMap { tape.rmsNorm(head(x, $0), head(p["\(name).weight"]!, $0), 1e-6) }
  }

  private func gated(_ tape: ScalarTape, _ seen: [Num], by read: [Num]) -> [Num] {
    tape.multiply(
      headNorm(tape, seen, "head_norm"), tape.silu(tape.rmsNorm(read, p["memory_norm.weight"]!, 1e-6)))
  }

  package mutating func step(_ tape: ScalarTape, _ n: [Num], position: Int) -> [Num] {
    let mixed: [Num]
    switch o.mode {
    case .gate:
      let seen = attention!.step(tape, n, position: position)
      mixed = gated(tape, seen, by: remember(tape, n, position: position))
    case .context:
      if position % o.segment == 0 {
        start = memories
        attention!.clear()
      }
      let q = convolved(tape, "q", n)
      attention!.add(
        tape, (0..<o.heads).flatMap { start[$0].read(tape, tape.l2(head(q, $0))) }, position: position)
      let seen = attention!.step(tape, n, position: position)
      mixed = gated(tape, seen, by: remember(tape, seen, position: position))
    case .alone, .layer:
      let read = remember(tape, n, position: position)
      let own = tape.multiply(
        headNorm(tape, read, "head_norm"), tape.silu(project(tape, "gate", n, width)))
      mixed = attention?.step(tape, own, position: position) ?? own
    }
    return project(tape, "out", mixed, width)
  }
}

extension ScalarTape {
  private static let normEps = 1.0

  /// (mean, 1/√(var + 1)) in tape operations of one number each.
  private func statistics(_ y: [Num]) -> (centred: [Num], rstd: Num) {
    let ones = [Num](repeating: Num(1 / Double(y.count)), count: y.count)
    let mean = dot(y, ones)
    let centred = y.map { subtract($0, mean) }
    let variance = scale(dot(centred, centred), 1 / Double(y.count))
    return (centred, power(add(variance, Num(Self.normEps)), -0.5))
  }

  package func layerNorm(_ y: [Num]) -> [Num] {
    let (centred, rstd) = statistics(y)
    return centred.map { multiply($0, rstd) }
  }

  /// The gradient at y of a loss whose gradient at LN(y) is `dy`.
  package func layerNormBackward(_ dy: [Num], _ y: [Num]) -> [Num] {
    let (centred, rstd) = statistics(y)
    let normed = centred.map { multiply($0, rstd) }
    let ones = [Num](repeating: Num(1 / Double(y.count)), count: y.count)
    let mean = dot(dy, ones), along = scale(dot(dy, normed), 1 / Double(y.count))
    return y.indices.map {
      multiply(rstd, subtract(subtract(dy[$0], mean), multiply(normed[$0], along)))
    }
  }

  package func power(_ a: Num, _ p: Double) -> Num {
    edge(a, p * pow(a.value, p - 1))
    return close(pow(a.value, p))
  }

  /// gelu'(x), as a function on the tape: the inner gradient of an mlp memory contains it.
  package func geluSlope(_ a: Num) -> Num {
    let c = (2 / Double.pi).squareRoot(), b = 0.044715
    let x = a.value
    let t = tanh(c * (x + b * x * x * x)), u1 = c * (1 + 3 * b * x * x), u2 = 6 * c * b * x
    let s = 1 - t * t
    edge(a, s * u1 + 0.5 * x * (s * u2 - 2 * t * s * u1 * u1))
    return close(0.5 * (1 + t) + 0.5 * x * s * u1)
  }
}
