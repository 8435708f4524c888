import Nested
import Testing

/// Every kind that reads tokens is trained, streamed and forked by the same calls: the kinds of bindings/swift/README.md.
@Suite struct KindTests {
  static let kinds: [JSON] = [
    ["kind": "hope", "cms": ["levels": [["chunk": 16, "lr": 0.02], ["chunk": 64, "lr": 0.01]]]],
    [
      "kind": "hope-attention",
      "cms": [
        "variant": "nested", "levels": [["chunk": 8], ["chunk": 32, "optimizer": "momentum"]],
      ],
    ],
    ["kind": "titans", "titans": ["mode": "lmm"]],
    ["kind": "titans", "titans": ["mode": "mac", "persistent": 4, "segment": 16]],
    ["kind": "titans", "titans": ["mode": "mag", "persistent": 4, "window": 16]],
    ["kind": "titans", "titans": ["mode": "mal", "persistent": 4, "window": 16]],
    ["kind": "transformer", "n_kv_heads": 1, "window": 64], ["kind": "retnet"],
    ["kind": "deltanet"], ["kind": "gated-deltanet"], ["kind": "ttt-linear"], ["kind": "ttt-mlp"],
    ["kind": "srwm"],
  ]

  @Test(arguments: kinds) func aKindLearnsAndStreams(_ kind: JSON) throws {
    guard case .object(let members) = kind else { return }
    let sizes: [(key: String, value: JSON)] = [
      ("vocab", 256), ("d_model", 32), ("n_layers", 1), ("head_dim", 16),
    ]
    let model = try Model(
      Configuration(.object(sizes + members)), seed: 1, in: Context(threads: 1))
    let fit = try Trainer(model, options: steady).fit(text(400), steps: 8, batch: 2, length: 32)
    #expect(fit.lastLoss < 5.5)  // chance is log 256 = 5.55
    let session = try Session(model, learn: .on)
    try session.feed(text(100))
    let fork = try session.fork()
    #expect(try session.feed(text(20), logits: .all) == fork.feed(text(20), logits: .all))
    for level in try session.levels { #expect(level.updates > 0) }
  }
}
