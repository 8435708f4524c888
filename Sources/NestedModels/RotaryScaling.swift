internal import NestedCheckpoint

/// How the turns of rotary positions are slowed for texts longer than those a model was first trained on.
package enum RotaryScalingType: String, CaseIterable, Sendable { case none, linear, llama3 }

/// The configuration's `rope_scaling`. The values here are the defaults of the library, which are Llama 3.1's.
package struct RotaryScaling: Sendable {
  package var type = RotaryScalingType.none
  package var factor = 8.0
  package var lowFrequencyFactor = 1.0
  package var highFrequencyFactor = 4.0
  package var originalMaxPosition = 8192  // tokens

  package init() {}

  /// The scaled frequency of one that turns by `frequency` from token to token.
  ///
  /// linear: all are divided by `factor`. llama3: those that turn less than `low_freq_factor` times over
  /// `original_max_position` tokens are, those that turn more than `high_freq_factor` times stay, and between the two the
  /// result goes over from one to the other with the number of turns.
  func scaled(_ frequency: Double) -> Double {
    switch type {
    case .none: return frequency
    case .linear: return frequency / factor
    case .llama3:
      let turns = Double(originalMaxPosition) * frequency / (2 * Double.pi)
      let share = (turns - lowFrequencyFactor) / (highFrequencyFactor - lowFrequencyFactor)
      let kept = min(1, max(0, share))
      return kept * frequency + (1 - kept) * frequency / factor
    }
  }
}

extension RotaryScaling {
  static let table = JSONTable<RotaryScaling>(
    "Scaling of rotary positions",
    [
      .choice("type", \.type, "None, all frequencies alike, or as Llama 3 scales them."),
      .number(
        "factor", \.factor, in: .from(1, to: 1e6), "What frequencies are divided by (types linear and llama3)."
      ).shown { $0.type != .none },
      .number(
        "low_freq_factor", \.lowFrequencyFactor, in: .above(0, to: 1e6),
        "Channels that turn less often over original_max_position tokens are divided by factor (type llama3)."
      ).shown { $0.type == .llama3 },
      .number(
        "high_freq_factor", \.highFrequencyFactor, in: .above(0, to: 1e6),
        "Channels that turn more often over original_max_position tokens stay as they are (type llama3)."
      ).shown { $0.type == .llama3 },
      .integer(
        "original_max_position", \.originalMaxPosition, in: 1...(1 << 40),
        "Tokens of the texts that the model was first trained on (type llama3)."
      ).shown { $0.type == .llama3 },
    ])
}
