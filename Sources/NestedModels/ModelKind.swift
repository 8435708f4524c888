/// The architectures of SPEC 1. Raw values are the names in a configuration.
package enum ModelKind: String, CaseIterable, Sendable {
  case hope
  case hopeAttention = "hope-attention"
  case titans
  case transformer
  case retnet
  case deltanet
  case gatedDeltanet = "gated-deltanet"
  case tttLinear = "ttt-linear"
  case tttMLP = "ttt-mlp"
  case srwm
  case cms

  /// `NESTED_KIND_*` of include/nested.h.
  package var number: Int32 {
    switch self {
    case .hope: 1
    case .hopeAttention: 2
    case .titans: 3
    case .transformer: 4
    case .retnet: 5
    case .cms: 6
    case .deltanet: 7
    case .gatedDeltanet: 8
    case .tttLinear: 9
    case .srwm: 10
    case .tttMLP: 11
    }
  }

  package init?(number: Int32) {
    guard let kind = ModelKind.allCases.first(where: { $0.number == number }) else { return nil }
    self = kind
  }
}

/// What a model is trained for.
package enum ModelTask: String, CaseIterable, Sendable {
  case lm, classify, regress

  /// `NESTED_TASK_*` of include/nested.h.
  package var number: Int32 {
    switch self {
    case .lm: 1
    case .classify: 2
    case .regress: 3
    }
  }
}
