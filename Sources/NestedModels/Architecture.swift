/// What a kind is made of: the table of SPEC 1. A new kind is a row here, a mixer in Layers/ and its keys in the
/// configuration.
struct Architecture: Sendable {
  /// Nil: the kind works on each input alone, and its feed-forward is the whole block.
  let mixer: (any Mixer.Type)?
  let feedForward: any FeedForward.Type
}

extension ModelKind {
  /// Nil for a kind that this build does not have.
  var architecture: Architecture? {
    switch self {
    case .hope: Architecture(mixer: SelfModifyingTitans.self, feedForward: ContinuumMemory.self)
    case .hopeAttention: Architecture(mixer: Attention.self, feedForward: ContinuumMemory.self)
    case .titans: Architecture(mixer: Titans.self, feedForward: SwiGLU.self)
    case .transformer: Architecture(mixer: Attention.self, feedForward: SwiGLU.self)
    case .retnet: Architecture(mixer: Retention.self, feedForward: RetNetFeedForward.self)
    case .deltanet, .gatedDeltanet: Architecture(mixer: DeltaNet.self, feedForward: SwiGLU.self)
    case .srwm: Architecture(mixer: SelfReferentialMatrix.self, feedForward: SwiGLU.self)
    case .tttLinear, .tttMLP: Architecture(mixer: TestTimeTraining.self, feedForward: SwiGLU.self)
    case .cms: Architecture(mixer: nil, feedForward: ContinuumMemory.self)
    }
  }

  package var isBuilt: Bool { architecture != nil }

  /// Whether it reads vectors, not tokens.
  package var readsVectors: Bool { self == .cms }

  /// Whether its blocks have a Continuum Memory System.
  package var hasLevels: Bool { self == .hope || self == .hopeAttention || self == .cms }
}
