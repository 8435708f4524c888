/// What the oracle computes: SPEC 7's configuration in the oracle's own words, so that it stands alone.
package struct OracleOptions: Sendable {
  package enum MemoryKind: String, Sendable, CaseIterable { case linear, mlp }
  package enum Objective: String, Sendable, CaseIterable { case l2, dot }
  package enum InnerRule: String, Sendable, CaseIterable { case dgd, gd }
  package enum OuterRule: String, Sendable, CaseIterable { case dgd, decay }
  package enum InputProjection: String, Sendable, CaseIterable { case separate, shared, none }
  package enum Read: String, Sendable, CaseIterable { case token, chunk }
  package enum Feed: String, Sendable, CaseIterable { case swiglu, gelu }
  package enum Variant: String, Sendable, CaseIterable { case sequential, nested, independent }
  package enum Meta: String, Sendable, CaseIterable { case none, firstOrder = "first-order" }
  package enum LevelRule: String, Sendable, CaseIterable {
    case sgd, momentum, nesterov, adagrad, adam, adamw
    case preconditioned = "preconditioned-momentum"
    case muon
    case deltaMomentum = "delta-momentum"
    case deepMomentum = "dmgd"
    case m3
    case m3Literal = "m3-literal"
    /// The oracle has no layer inputs: for configurations only.
    case dgd
  }

  package struct Level: Sendable {
    package var chunk: Int
    package var hidden: Int
    package var optimizer: LevelRule
    package var lr: Double
    package var clip: Double
    package init(
      chunk: Int, hidden: Int, optimizer: LevelRule = .sgd, lr: Double = 0.01, clip: Double = 1
    ) {
      self.chunk = chunk
      self.hidden = hidden
      self.optimizer = optimizer
      self.lr = lr
      self.clip = clip
    }
  }

  package var vocab = 11
  package var headDim = 8
  package var heads = 1
  package var layers = 1
  package var tied = true
  package var normEps = 1e-6
  package var segment = 64

  package var memory = MemoryKind.linear
  package var objective = Objective.l2
  package var innerRule = InnerRule.dgd
  package var outerRule = OuterRule.dgd
  package var innerMomentum = 0.0
  package var retention = true
  package var normalizeValue = true
  package var inputProjection = InputProjection.separate
  package var adaptiveQ = false
  /// Among k, v, eta, alpha, mem, q: the memories that are written.
  package var adapt: Set<String> = ["k", "v", "eta", "alpha", "mem"]
  package var expansion = 2
  package var memoryChunk = 16
  package var projectionChunk = 16
  package var read = Read.token
  package var etaMax = 1.0
  package var truncateBPTT = 0

  package var feed = Feed.swiglu
  package var variant = Variant.sequential
  package var meta = Meta.none
  package var levels = [Level(chunk: 64, hidden: 16), Level(chunk: 0, hidden: 16)]

  package init() {}

  package var width: Int { headDim * heads }  // D
  package var memoryHidden: Int { headDim * expansion }  // F

  /// Names of the memories, the order of SPEC 2's table.
  package var memoryNames: [String] {
    ["k", "v", "eta", "alpha", "mem"] + (adaptiveQ ? ["q"] : [])
  }

  func isScalar(_ memory: String) -> Bool { memory == "eta" || memory == "alpha" }

  /// SPEC 7's parameters: name and shape.
  package var parameterShapes: [(name: String, shape: [Int])] {
    let D = width
    let F = memoryHidden
    var out: [(String, [Int])] = [("embed.weight", [vocab, D])]
    for i in 0..<layers {
      let mixer = "blocks.\(i).mixer"
      out.append(("\(mixer).norm.weight", [D]))
      var projections = ["q"]
      if inputProjection != .none { projections.append("u") }
      if inputProjection == .separate { projections.append("v") }
      for p in projections + ["gate", "out"] { out.append(("\(mixer).\(p).weight", [D, D])) }
      for p in ["q", "u"] + (inputProjection == .separate ? ["v"] : []) {
        out.append(("\(mixer).\(p)_conv.weight", [D, 4]))
      }
      out.append(("\(mixer).head_norm.weight", [D]))
      out.append(("\(mixer).eta_bias", [heads]))
      out.append(("\(mixer).alpha_bias", [heads]))
      for b in memoryNames {
        let rows = isScalar(b) ? 1 : headDim
        switch memory {
        case .linear: out.append(("\(mixer).memory.\(b).w", [heads, rows, headDim]))
        case .mlp:
          out.append(("\(mixer).memory.\(b).w2", [heads, F, headDim]))
          out.append(("\(mixer).memory.\(b).w1", [heads, rows, F]))
        }
      }
      for (l, level) in levels.enumerated() {
        let cms = "blocks.\(i).cms.\(l)"
        out.append(("\(cms).norm.weight", [D]))
        if feed == .swiglu { out.append(("\(cms).gate.weight", [level.hidden, D])) }
        out.append(("\(cms).up.weight", [level.hidden, D]))
        out.append(("\(cms).down.weight", [D, level.hidden]))
      }
      if variant == .independent { out.append(("blocks.\(i).cms.mix", [levels.count])) }
    }
    out.append(("norm.weight", [D]))
    if !tied { out.append(("head.weight", [vocab, D])) }
    return out
  }
}
