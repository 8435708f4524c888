/// What a kind is made of: the table of SPEC 1. A new kind is a row here, a mixer in Layers/ and its keys in the
/// configuration.
struct Architecture: Sendable {
  let mixer: any Mixer.Type
  let feedForward: any FeedForward.Type
}

extension ModelKind {
  /// Whether this build has the kind.
  package var isBuilt: Bool { self == .hope }

  /// For a kind that is built.
  var architecture: Architecture {
    Architecture(mixer: SelfModifyingTitans.self, feedForward: ContinuumMemory.self)
  }

  /// Whether its blocks have a Continuum Memory System.
  package var hasLevels: Bool { self == .hope || self == .hopeAttention || self == .cms }
}
