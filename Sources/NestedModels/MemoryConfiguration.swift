package enum MemoryType: String, CaseIterable, Sendable { case linear, mlp }
package enum Objective: String, CaseIterable, Sendable { case l2, dot }
package enum UpdateRule: String, CaseIterable, Sendable { case dgd, gd }
package enum OuterRule: String, CaseIterable, Sendable { case dgd, decay }
package enum InputProjection: String, CaseIterable, Sendable { case separate, shared, none }
package enum ReadMode: String, CaseIterable, Sendable { case token, chunk }

/// Some of a mixer's memories.
package struct MemorySet: OptionSet, Sendable {
  package let rawValue: Int
  package init(rawValue: Int) { self.rawValue = rawValue }

  package static let k = MemorySet(rawValue: 1)
  package static let v = MemorySet(rawValue: 2)
  package static let eta = MemorySet(rawValue: 4)
  package static let alpha = MemorySet(rawValue: 8)
  package static let mem = MemorySet(rawValue: 16)
  package static let q = MemorySet(rawValue: 32)

  /// The names in a configuration and in parameter paths, in the order of the bits.
  package static let names = ["k", "v", "eta", "alpha", "mem", "q"]
}

/// Self-modifying Titans (SPEC 2). The values here are the defaults of the library.
package struct MemoryConfiguration: Sendable {
  package var type = MemoryType.linear
  package var objective = Objective.l2
  package var innerRule = UpdateRule.dgd
  package var outerRule = OuterRule.dgd
  package var innerMomentum: Float = 0
  package var retention = true
  package var normalizeValue = true
  package var inputProjection = InputProjection.separate
  package var adaptiveQ = false
  package var adapt: MemorySet = [.k, .v, .eta, .alpha, .mem]
  package var expansion = 2  // F = expansion · d
  package var memoryChunk = 16  // tokens
  package var projectionChunk = 16  // tokens
  package var read = ReadMode.token
  package var truncateBPTT = 0  // memory chunks; 0 = never

  /// The largest η. With keys of length 1 a matrix is stable up to 1. The step of an mlp's outer matrix grows with the
  /// hidden layer's size, which nothing bounds: with 0.5 and above some of five seeds end in NaN within 300 training steps
  /// (examples/python/ablation). 0.1 is Titans' bound, and as good a learner: five seeds of 300 steps of 4 x 64 bytes stay finite
  /// and end between 2.15 and 2.32 nats, with 1 between 2.16 and 2.34.
  package var etaMax: Float {
    get { givenEtaMax ?? (type == .linear ? 1 : 0.1) }
    set { givenEtaMax = newValue }
  }
  private var givenEtaMax: Float?

  /// Initial values of the parameters eta_bias and alpha_bias (b_eta and b_alpha of SPEC 2).
  package static let initialEtaBias: Float = 1
  package static let initialAlphaBias: Float = 4

  package init() {}
}
