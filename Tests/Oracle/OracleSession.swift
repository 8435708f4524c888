/// One stream with the Continuum Memory System learning online (SPEC 3).
package struct OracleSession {
  package enum Mode: Sendable { case off, memory, on }

  package struct LevelState: Sendable {
    package var optimizer: OracleOptimizer
    package var pending: [String: [Double]] = [:]
    package var updates = 0
    package var skipped = 0
    package var lastUpdate = -1
    package var frozen = false
    package var lrScale = 1.0
  }

  package let options: OracleOptions
  /// Every parameter in force; the levels' entries are this stream's own.
  package private(set) var values: [String: [Double]]
  private let initial: [String: [Double]]
  package private(set) var state: OracleHope.State
  package private(set) var position = 0
  /// [layer][level]
  package private(set) var levels: [[LevelState]]
  package private(set) var mode: Mode
  /// Logits after the last token, [V].
  package private(set) var output: [Double] = []

  // The segment under way. `losses` are those whose target has arrived.
  private var tape = ScalarTape()
  private var model: OracleHope
  private var losses: [Num] = []
  private var lastLogits: [Num]?

  package init(
    _ options: OracleOptions, _ values: [String: [Double]], mode: Mode,
    adamW: OracleOptimizer.Rule = .adamw(beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.01),
    momentum: Double = 0.9
  ) {
    self.options = options
    self.values = values
    initial = values
    self.mode = mode
    let shapes = Dictionary(
      uniqueKeysWithValues: options.parameterShapes.map { ($0.name, $0.shape) })
    levels = (0..<options.layers).map { _ in
      options.levels.map { level in
        let rule: OracleOptimizer.Rule =
          switch level.optimizer {
          case .sgd: .sgd
          case .momentum: .momentum(momentum)
          case .nesterov: .nesterov(momentum)
          case .adagrad: .adagrad(eps: 1e-10)
          case .adam, .adamw: adamW
          case .preconditioned: .preconditioned(alpha: momentum, beta2: 0.999, eps: 1e-8)
          case .dgd: preconditionFailure("the oracle does not know the layers' inputs")
          case .muon: .muon(momentum: 0.95, beta1: 0.9, beta2: 0.999, eps: 1e-8)
          case .deltaMomentum: .deltaMomentum(momentum)
          case .deepMomentum: .deepMomentum(momentum)
          case .m3: .m3(.init())
          case .m3Literal: .m3Literal(.init())
          }
        return LevelState(optimizer: OracleOptimizer(rule, shapes: shapes))
      }
    }
    model = OracleHope(options, values, on: tape)
    state = model.initialState()
    beginSegment()
  }

  /// Reads the stream on: logits [n][V]. Tokens that were `sampled` from the model add no loss.
  package mutating func feed(_ tokens: [Int], sampled: Bool = false) -> [[Double]] {
    tokens.map { feed($0, sampled: sampled) }
  }

  private mutating func feed(_ token: Int, sampled: Bool) -> [Double] {
    if let logits = lastLogits, mode == .on, !sampled {
      losses.append(tape.negativeLogLikelihood(logits, token))
    }
    lastLogits = nil
    if mode == .on, position > 0, isSegmentEnd {
      endSegment()
      for layer in levels.indices {
        for (l, level) in options.levels.enumerated() {
          if level.chunk > 0, position % level.chunk == 0 { applyPending(layer, l) }
        }
        for l in options.levels.indices.dropLast() where options.variant == .nested {
          let chunk = options.levels[l + 1].chunk
          if chunk > 0, position % chunk == 0, !levels[layer][l + 1].frozen { restart(layer, l) }
        }
      }
      beginSegment()
    }
    let logits = model.step(tape, token, &state, write: mode != .off)
    position += 1
    if mode == .on { lastLogits = logits }
    output = logits.map(\.value)
    return output
  }

  /// Segments end at multiples of min(C_1, segment), and where a level is due.
  private var isSegmentEnd: Bool {
    let chunks = options.levels.map(\.chunk).filter { $0 > 0 }
    let length = min(chunks.first ?? options.segment, options.segment)
    return position % length == 0 || chunks.contains { position % $0 == 0 }
  }

  package mutating func setMode(_ new: Mode) {
    guard new != mode else { return }
    if mode == .on { endSegment() }
    mode = new
    lastLogits = nil
    beginSegment()
  }

  /// Applies every loss whose target is known; the last token's is dropped.
  package mutating func flush(layer: Int = -1, level: Int = -1) {
    endSegment()
    lastLogits = nil
    for i in levels.indices where layer < 0 || layer == i {
      for l in options.levels.indices where level < 0 || level == l {
        if options.levels[l].chunk > 0 { applyPending(i, l) }
      }
    }
    beginSegment()
  }

  /// A level that is frozen when a segment ends gets nothing of it; what it had summed up before waits.
  package mutating func control(layer: Int, level: Int, frozen: Bool? = nil, lrScale: Double? = nil)
  {
    if let frozen { levels[layer][level].frozen = frozen }
    if let lrScale { levels[layer][level].lrScale = lrScale }
  }

  private func levelNames(_ layer: Int, _ level: Int) -> [String] {
    let parts = options.feed == .swiglu ? ["norm", "gate", "up", "down"] : ["norm", "up", "down"]
    return parts.map { "blocks.\(layer).cms.\(level).\($0).weight" }
  }

  /// Adds the segment's gradient, at the parameters in force, to every level's pending sum.
  private mutating func endSegment() {
    guard !losses.isEmpty else { return }
    let g = tape.backward(losses.map { ($0, 1) })
    for i in levels.indices {
      for l in options.levels.indices where options.levels[l].chunk > 0 && !levels[i][l].frozen {
        for name in levelNames(i, l) {
          let d = g.of(model.parameters[name]!)
          if let old = levels[i][l].pending[name] {
            levels[i][l].pending[name] = zip(old, d).map { $0 + $1 }
          } else {
            levels[i][l].pending[name] = d
          }
        }
      }
    }
    losses = []
  }

  /// A new tape: the recurrent state becomes constant, the levels leaves (when learning).
  private mutating func beginSegment() {
    tape = ScalarTape()
    state.makeConstant()
    let learning = mode == .on
    let options = self.options
    model = OracleHope(options, values, on: tape) { learning && $0.contains(".cms.") }
  }

  /// A level of variant nested, when the slower neighbour has ticked.
  private mutating func restart(_ layer: Int, _ l: Int) {
    guard !levels[layer][l].frozen else { return }
    for name in levelNames(layer, l) { values[name] = initial[name]! }
    levels[layer][l].optimizer = OracleOptimizer(levels[layer][l].optimizer.rule)
  }

  /// θ ← θ - opt(Σ gradients), the norm clipped; a sum that is not finite is dropped and counted.
  private mutating func applyPending(_ layer: Int, _ l: Int) {
    guard !levels[layer][l].frozen else { return }
    var sum = levels[layer][l].pending
    levels[layer][l].pending = [:]
    guard !sum.isEmpty else { return }
    let norm = globalNorm(sum)
    guard norm.isFinite else {
      levels[layer][l].skipped += 1
      return
    }
    let clip = options.levels[l].clip
    if clip > 0, norm > clip {
      for name in sum.keys { sum[name] = sum[name]!.map { $0 * clip / norm } }
    }
    levels[layer][l].optimizer.step(
      &values, sum, lr: options.levels[l].lr * levels[layer][l].lrScale,
      decays: { !$0.hasSuffix("norm.weight") })
    levels[layer][l].updates += 1
    levels[layer][l].lastUpdate = position
  }
}
