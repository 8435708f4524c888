import NestedBase
import NestedModels
import Oracle
import Testing

@testable import NestedTraining

/// Outer training against the float64 oracle: optimizers, clipping, schedule, and the levels' periods (SPEC 3, 4).
@Suite struct TrainerOracleTests {
  struct Case: Sendable, CustomStringConvertible {
    let name: String
    let json: String
    let rule: OracleOptimizer.Rule
    let clip: Double
    let rates: [Double]
    var meta = OracleOptions.Meta.none
    var description: String { name }
  }

  static let cases: [Case] = [
    Case(
      name: "sgd",
      json: #"{"optimizer": "sgd", "lr": 0.05, "clip": 0, "schedule": {"type": "constant"}}"#,
      rule: .sgd, clip: 0, rates: [Double](repeating: 0.05, count: 8)),
    Case(
      name: "momentum, clipped",
      json:
        #"{"optimizer": "momentum", "lr": 0.05, "momentum": 0.8, "clip": 0.3, "weight_decay": 0, "schedule": {"type": "constant"}}"#,
      rule: .momentum(0.8), clip: 0.3, rates: [Double](repeating: 0.05, count: 8)),
    Case(
      name: "adamw, warm-up and cosine",
      json: #"{"lr": 0.01, "schedule": {"type": "cosine", "warmup": 3, "total": 7, "floor": 0.2}}"#,
      rule: .adamw(beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1), clip: 1,
      rates: [
        0.01 / 3, 0.02 / 3, 0.01, 0.01, 0.01 * (0.2 + 0.4 * (1 + 0.5.squareRoot())), 0.006,
        0.01 * (0.2 + 0.4 * (1 - 0.5.squareRoot())), 0.002,
      ]),
    Case(
      name: "momentum, rows that learn",
      json:
        #"{"optimizer": "momentum", "lr": 0.05, "momentum": 0.8, "clip": 0.3, "weight_decay": 0, "schedule": {"type": "constant"}}"#,
      rule: .momentum(0.8), clip: 0.3, rates: [Double](repeating: 0.05, count: 8), meta: .firstOrder),
    Case(
      name: "adamw, accumulated batches, other betas",
      json:
        #"{"lr": 0.01, "betas": [0.8, 0.99], "eps": 1e-6, "weight_decay": 0.5, "clip": 0.5, "schedule": {"type": "constant"}}"#,
      rule: .adamw(beta1: 0.8, beta2: 0.99, eps: 1e-6, weightDecay: 0.5), clip: 0.5,
      rates: [Double](repeating: 0.01, count: 8)),
    plain("muon", 0.01, .muon(momentum: 0.9, beta1: 0.9, beta2: 0.95, eps: 1e-6)),
    plain("delta-momentum", 0.05, .deltaMomentum(0.9)),
    plain("dmgd", 0.1, .deepMomentum(0.9)),
    plain("m3", 0.01, .m3(.init(beta2: 0.95, period: 3, eps: 1e-6))),
  ]

  private static func plain(_ name: String, _ lr: Double, _ rule: OracleOptimizer.Rule) -> Case {
    Case(
      name: name,
      json: """
        {"optimizer": "\(name)", "lr": \(lr), "eps": 1e-6, "weight_decay": 0.1, "slow": {"period": 3},
         "clip": 1, "schedule": {"type": "constant"}}
        """,
      rule: rule, clip: 1, rates: [Double](repeating: lr, count: 8))
  }

  @Test(arguments: cases)
  func eightStepsAgree(_ c: Case) throws {
    var o = OracleOptions()
    (o.vocab, o.layers, o.heads, o.headDim, o.tied, o.meta) = (17, 2, 2, 8, false, c.meta)
    o.levels = [
      .init(chunk: 8, hidden: 12), .init(chunk: 40, hidden: 10), .init(chunk: 80, hidden: 10),
      .init(chunk: 0, hidden: 8),
    ]
    let start = o.randomParameters(seed: 401)
    let model = try Model.matching(o, start)
    let trainer = try Trainer(model, c.json)
    // SPEC 4: sgd and momentum decay as well when the option says so; 0.1 is the trainer's default.
    var expected = OracleTrainer(
      o, start, rule: c.rule, clip: c.clip, weightDecay: c.name.hasPrefix("adamw") || c.name.hasPrefix("momentum") ? 0 : 0.1)
    var random = OracleRandom(402)
    let twice = c.name.contains("accumulated")
    for step in 0..<8 {
      var loss = 0.0
      var targets = 0
      for _ in 0..<(twice ? 2 : 1) {
        let rows = (0..<2).map { _ in random.tokens(11, vocab: o.vocab) }
        let (sum, count) = expected.accumulate(rows)
        loss += sum
        targets += count
        try trainer.collect(Rows(rows.flatMap { $0.map { Int32($0) } }, batch: 2))
      }
      let want = expected.apply(lr: c.rates[step])
      let got = try trainer.apply(control: quiet)
      #expect(got.applied && got.step == step + 1 && got.targets == Double(targets))
      #expect(abs(got.learningRate - c.rates[step]) <= 1e-12)
      // Adam divides a gradient by its own size: where it is all rounding, the step is too.
      // So do the AdamW of what muon and m3 leave aside, and an orthogonal factor.
      let adam = ["adamw", "muon", "m3"].contains { c.name.hasPrefix($0) }
      #expect(abs(got.loss - loss / Double(targets)) <= (adam ? 1e-4 : 1e-5) * got.loss)
      #expect(abs(got.gradientNorm - want.norm) <= (adam ? 2e-3 : 1e-4) * want.norm, "step \(step)")
      let weights = model.named
      let error = changeError(weights, expected.values, from: start)
      #expect(error <= (adam ? 5e-3 : 1e-4), "step \(step)")
      for level in 0..<4 where !want.levels.contains(level) {
        let before = expected.values.filter { OracleTrainer.level(of: $0.key) == level }
        for (name, value) in before where value == start[name]! {
          #expect(weights[name]! == start[name]!, "\(name) moved at step \(step)")
        }
      }
    }
  }
}
