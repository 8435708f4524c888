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
    ConfigurationPreset(
      name: "hope-0.1m", help: "about 0.1 M parameters on bytes",
      json: """
        {"kind": "hope", "vocab": 256, "d_model": 48, "n_layers": 2,
         "cms": {"levels": [{"chunk": 64, "hidden": 64}, {"chunk": 1024, "hidden": 64, "lr": 3e-3},
                            {"chunk": 0, "hidden": 64}]}}
        """),
    ConfigurationPreset(
      name: "hope-1m", help: "about 1 M parameters on bytes",
      json: """
        {"kind": "hope", "vocab": 256, "d_model": 128, "n_layers": 3,
         "cms": {"levels": [{"chunk": 64, "hidden": 192}, {"chunk": 1024, "hidden": 192, "lr": 3e-3},
                            {"chunk": 0, "hidden": 192}]}}
        """),
    ConfigurationPreset(
      name: "hope-10m", help: "about 10 M parameters on bytes",
      json: """
        {"kind": "hope", "vocab": 256, "d_model": 320, "n_layers": 4,
         "cms": {"levels": [{"chunk": 64, "hidden": 640}, {"chunk": 1024, "hidden": 640, "lr": 3e-3},
                            {"chunk": 0, "hidden": 640}]}}
        """),
  ]
}
