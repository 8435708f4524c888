import NestedBase
import NestedModels
import NestedTensor
import NestedTraining
import Oracle

/// A configuration of some kind, and the oracle's mixer for it: a row here gets every check of `KindTests`.
struct KindCase: Sendable, CustomStringConvertible {
  let name: String
  /// Without "vocab", "d_model" and "n_layers", which are those of `sizes`.
  let json: String
  let mixer: @Sendable ([String: [Num]], ScalarTape) -> any OracleStreamMixer
  var lengths = [1, 7, 33]
  var valueTolerance = 1e-5, gradientTolerance = 1e-4
  /// Parameters that are not drawn at random around 0: suffix of the name → centre and deviation.
  var special: [String: (Double, Double)] = [:]

  var description: String { name }
  static let sizes = OracleNetwork.Sizes()

  var configuration: ModelConfiguration {
    get throws {
      let s = KindCase.sizes
      return try ModelConfiguration(
        json: #"{"vocab":\#(s.vocab),"d_model":\#(s.width),"n_layers":\#(s.layers),\#(json)}"#)
    }
  }

  /// A model with lively random weights: no gradient is small by accident.
  func model(seed: UInt64, threads: Int = 1) throws -> Model {
    let model = try Model(runtime: Runtime(threads: threads), configuration: configuration, seed: 1)
    var random = OracleRandom(seed)
    try model.withMutableWeights { w in
      for entry in model.layout.entries {
        var (centre, deviation) = (0.0, 1 / Double(entry.shape.last ?? 1).squareRoot())
        if entry.name.hasSuffix("norm.weight") { (centre, deviation) = (1, 0.2) }
        if entry.name.hasSuffix("_conv.weight") { (centre, deviation) = (0.3, 0.4) }
        if entry.name == "embed.weight" { deviation = 0.5 }
        for (suffix, given) in special where entry.name.hasSuffix(suffix) { (centre, deviation) = given }
        for i in 0..<entry.count { w[entry.offset + i] = Float(centre + deviation * random.normal()) }
      }
    }
    return model
  }

  static let all: [KindCase] = [
    attention("transformer", #""kind":"transformer","head_dim":8,"d_ff":24"#, .init()),
    attention(
      "transformer, grouped heads, window",
      #""kind":"transformer","head_dim":4,"n_kv_heads":2,"window":5,"tie_embeddings":false,"rope_theta":100,"segment":8"#,
      .init(heads: 4, kvHeads: 2, headDim: 4, window: 5, theta: 100)),
    // Frequencies 1, 0.32, 0.1 and 0.03: the first stays, the last is divided, the two between are blended.
    attention(
      "transformer, llama3 scaling",
      #""kind":"transformer","head_dim":8,"rope_scaling":{"type":"llama3","factor":4,"low_freq_factor":0.5,"high_freq_factor":4,"original_max_position":40},"rope_theta":100"#,
      .init(theta: 100, scaling: .llama3(factor: 4, low: 0.5, high: 4, tokens: 40))),
    attention(
      "hope-attention, linear scaling",
      #""kind":"hope-attention","head_dim":8,"segment":4,"rope_scaling":{"type":"linear","factor":2.5},"cms":{"levels":[{"chunk":8,"hidden":12}]}"#,
      .init(scaling: .linear(2.5))),
    attention(
      "hope-attention",
      #""kind":"hope-attention","head_dim":16,"segment":4,"cms":{"levels":[{"chunk":8,"hidden":12},{"chunk":0,"hidden":8}]}"#,
      .init(heads: 1, kvHeads: 1, headDim: 16)),
    attention(
      "hope-attention, nested levels",
      #""kind":"hope-attention","head_dim":16,"segment":4,"cms":{"variant":"nested","levels":[{"chunk":4,"hidden":12,"lr":0.05},{"chunk":8,"hidden":8,"optimizer":"momentum"},{"chunk":16,"hidden":8}]}"#,
      .init(heads: 1, kvHeads: 1, headDim: 16)),
    attention(
      "hope-attention, independent levels",
      #""kind":"hope-attention","head_dim":8,"segment":4,"cms":{"variant":"independent","mlp":"gelu","levels":[{"chunk":8,"hidden":12},{"chunk":16,"hidden":9},{"chunk":0,"hidden":8}]}"#,
      .init(heads: 2, kvHeads: 2, headDim: 8)),
    KindCase(name: "retnet", json: #""kind":"retnet","head_dim":8"#) { p, _ in
      OracleRetention(p, width: sizes.width, heads: 2)
    },
    KindCase(name: "deltanet", json: #""kind":"deltanet","head_dim":8,"d_ff":24"#) { p, _ in
      OracleDeltaNet(p, width: sizes.width, heads: 2)
    },
    KindCase(
      name: "gated-deltanet", json: #""kind":"gated-deltanet","head_dim":4,"d_ff":24"#,
      mixer: { p, _ in OracleDeltaNet(p, width: sizes.width, heads: 4) },
      special: ["a_log": (0.5, 0.5), "dt_bias": (-2, 1)]),
    KindCase(
      name: "ttt-linear", json: #""kind":"ttt-linear","head_dim":8,"d_ff":24"#,
      mixer: { p, _ in OracleTestTimeTraining(p, width: sizes.width, heads: 2, mlp: false) },
      lengths: [1, 7, 16, 37], special: ["memory.w1": (0, 0.3), "memory.b1": (0, 0.2), "token_offset": (0, 0.1)]),
    KindCase(
      name: "ttt-mlp", json: #""kind":"ttt-mlp","head_dim":8,"d_ff":24"#,
      mixer: { p, _ in OracleTestTimeTraining(p, width: sizes.width, heads: 2, mlp: true) },
      lengths: [1, 7, 37],
      special: [
        "memory.w1": (0, 0.4), "memory.w2": (0, 0.3), "memory.b1": (0, 0.2), "memory.b2": (0, 0.2),
        "token_offset": (0, 0.1),
      ]),
    KindCase(
      name: "srwm", json: #""kind":"srwm","head_dim":8,"d_ff":24"#,
      mixer: { p, _ in OracleSelfReferential(p, width: sizes.width, heads: 2) },
      special: ["memory.y.w": (0, 1), "memory.q.w": (0, 2), "memory.k.w": (0, 2), "memory.b.w": (-1, 2)]),
    titans("titans", #""memory":"linear""#, .init()),
    titans("titans, chunk", #""memory":"linear","chunk":5,"theta_max":0.5"#, .init(chunk: 5, thetaMax: 0.5)),
    titans("titans, mlp", #""expansion":3,"theta_max":1"#, .init()),
    titans("titans, mlp, chunk", #""chunk":4,"theta_max":0.5"#, .init(chunk: 4, thetaMax: 0.5)),
    titans(
      "titans, mag", #""mode":"mag","memory":"linear","persistent":3,"window":6"#,
      .init(mode: .gate, window: 6)),
    titans(
      "titans, mag, mlp, defaults", #""mode":"mag""#, .init(mode: .gate, window: 256, thetaMax: 0.1)),
    titans(
      "titans, mal", #""mode":"mal","persistent":0,"window":0,"chunk":3,"theta_max":0.5"#,
      .init(mode: .layer, chunk: 3, thetaMax: 0.5)),
    titans(
      "titans, mal, grouped heads", #""mode":"mal","memory":"linear","persistent":2,"window":40"#,
      .init(mode: .layer, kvHeads: 1, window: 40), more: #","n_kv_heads":1,"segment":8"#),
    titans(
      "titans, mac", #""mode":"mac","memory":"linear","persistent":3,"segment":5"#,
      .init(mode: .context, segment: 5)),
    titans(
      "titans, mac, mlp, defaults", #""mode":"mac""#, .init(mode: .context, segment: 64, thetaMax: 0.1)),
    titans(
      "titans, mac, chunk, grouped heads",
      #""mode":"mac","segment":2,"chunk":4,"theta_max":0.5,"persistent":0"#,
      .init(mode: .context, kvHeads: 1, chunk: 4, segment: 2, thetaMax: 0.5), more: #","n_kv_heads":1"#),
  ]

  private static func titans(_ name: String, _ json: String, _ options: OracleTitans.Options, more: String = "") -> KindCase {
    KindCase(
      name: name, json: #""kind":"titans","head_dim":8,"d_ff":24,"titans":{\#(json)}\#(more)"#,
      mixer: { p, _ in OracleTitans(options, p, width: sizes.width) },
      special: [
        "alpha_bias": (-2, 1), "eta_bias": (0, 1),
        "theta_bias": (-1, 1),
      ])
  }

  private static func attention(_ name: String, _ json: String, _ options: OracleAttention.Options) -> KindCase {
    KindCase(name: name, json: json) { p, _ in OracleAttention(options, p, width: sizes.width) }
  }
}
