/// A named set of keys that other keys override.
struct ConfigurationPreset: Sendable {
  let name: String
  let help: String
  let json: String

  /// η_max of the preset `paper`. The papers give neither range nor activation for η; without the
  /// l2 around M_v (`normalize_value` off) the self-generated targets amplify themselves, and this
  /// is a value small enough to run. The ablation in the documentation states it.
  static let paperEtaMax = 0.01

  static let all = [
    ConfigurationPreset(
      name: "paper", help: "the memory by the papers' equations, to the letter",
      json: """
        {"memory": {"type": "mlp", "expansion": 4, "outer_rule": "decay", "normalize_value": false,
                    "input_projection": "none", "read": "chunk", "eta_max": \(paperEtaMax)}}
        """),
    hope("0.1m", width: 48, layers: 2, hidden: 64),
    hope("1m", width: 128, layers: 3, hidden: 192),
    hope("10m", width: 320, layers: 4, hidden: 640),
    hope("50m", width: 640, layers: 5, hidden: 1280),
    hope("340m", width: 1024, layers: 24, heads: 16, hidden: 816, vocab: 32000),
    hope("760m", width: 1536, layers: 24, heads: 16, hidden: 1280, vocab: 32000),
    hope("1.3b", width: 2048, layers: 18, heads: 8, hidden: 2576, vocab: 32000),
    plain("transformer", "1m", width: 128, layers: 5),
    plain("transformer", "10m", width: 320, layers: 8),
    plain("transformer", "50m", width: 640, layers: 10),
    plain("transformer", "340m", width: 1024, layers: 24, heads: 16, vocab: 32000),
    plain("transformer", "760m", width: 1536, layers: 24, heads: 16, vocab: 32000, more: #", "d_ff": 4352"#),
    plain("transformer", "1.3b", width: 2048, layers: 18, heads: 8, vocab: 32000, more: #", "d_ff": 8192"#),
    plain("retnet", "1m", width: 128, layers: 5),
    plain("retnet", "10m", width: 320, layers: 8),
    plain("retnet", "50m", width: 640, layers: 10),
    plain("retnet", "340m", width: 1024, layers: 24, heads: 16, vocab: 32000),
    plain("retnet", "760m", width: 1536, layers: 25, heads: 16, vocab: 32000),
    plain("retnet", "1.3b", width: 2048, layers: 24, heads: 8, vocab: 32000),
    plain("titans", "1m", width: 128, layers: 4),
    plain("titans", "10m", width: 320, layers: 7),
    plain("titans", "50m", width: 640, layers: 9),
    plain("titans", "340m", width: 1024, layers: 24, heads: 16, vocab: 32000, more: #", "d_ff": 2560"#),
    plain("titans", "760m", width: 1536, layers: 24, heads: 16, vocab: 32000),
    plain("titans", "1.3b", width: 2048, layers: 18, heads: 8, vocab: 32000, more: #", "d_ff": 7168"#),
  ]

  // From 340m on, width, blocks and heads are the Titans papers' (paper.md 5.2), as far as the stated size allows: the
  // 1.3b of 18 blocks has wider MLPs or more blocks. They give no CMS; ours has three equal levels.

  private static func hope(
    _ size: String, width: Int, layers: Int, heads: Int? = nil, hidden: Int, vocab: Int = 256
  ) -> ConfigurationPreset {
    plain(
      "hope", size, width: width, layers: layers, heads: heads, vocab: vocab,
      more: #"""
        , "cms": {"levels": [{"chunk": 64, "hidden": \#(hidden)}, {"chunk": 1024, "hidden": \#(hidden), "lr": 3e-3},
                             {"chunk": 0, "hidden": \#(hidden)}]}
        """#)
  }

  private static func plain(
    _ kind: String, _ size: String, width: Int, layers: Int, heads: Int? = nil, vocab: Int = 256, more: String = ""
  ) -> ConfigurationPreset {
    let heads = heads.map { #", "n_heads": \#($0)"# } ?? ""
    let units = size.hasSuffix("b") ? "\(size.dropLast()) B" : "\(size.dropLast()) M"
    return ConfigurationPreset(
      name: "\(kind)-\(size)", help: "about \(units) parameters\(vocab == 256 ? " on bytes" : "")",
      json: #"""
        {"kind": "\#(kind)", "vocab": \#(vocab), "d_model": \#(width), "n_layers": \#(layers)\#(heads)\#(more)}
        """#)
  }
}
