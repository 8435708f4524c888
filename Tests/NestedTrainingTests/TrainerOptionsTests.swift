import NestedBase
import NestedLearning
import Testing

@testable import NestedTraining

@Suite struct TrainerOptionsTests {
  private func parse(_ text: String) throws(NestedError) -> TrainerOptions {
    try TrainerOptions(json: Array(text.utf8))
  }

  @Test(arguments: ["", "{}"]) func defaultsAreThoseOfTheSpecification(text: String) throws {
    let options = try parse(text)
    #expect(
      options.optimizer
        == OptimizerSettings(.adamw, beta1: 0.9, beta2: 0.95, eps: 1e-8, momentum: 0.9))
    #expect(options.lr == 3e-3)
    #expect(options.weightDecay == 0.1)
    #expect(options.clip == 1)
    #expect(options.schedule == Schedule(kind: .cosine, warmup: 100, total: 1000, floor: 0.1))
    #expect(options.accumulate == 1)
    #expect(options.seed == 0)
    #expect(options.groups.isEmpty)
  }

  @Test func everyKeyIsReadAndWritten() throws {
    let text = """
      {"optimizer": "momentum", "lr": 1, "betas": [0.5, 0], "eps": 1e-6, "weight_decay": 0, "momentum": 0.5,
       "slow": {"beta": 0.5, "weight": 0, "period": 3}, "clip": 0, "schedule": {"type": "wsd", "warmup": 7, "total": 9, "floor": 0, "decay": 2}, "accumulate": 3,
       "seed": 12, "groups": [{"pattern": "*.cms.*", "lr": 0.5}, {"pattern": "embed.*", "weight_decay": 0.25},
         {"pattern": "*.norm.*", "betas": [0.1, 0.2], "eps": 0.5, "momentum": 0}]}
      """
    let options = try parse(text)
    var settings = OptimizerSettings(.momentum, beta1: 0.5, beta2: 0, eps: 1e-6, momentum: 0.5)
    (settings.slowBeta, settings.slowWeight, settings.slowPeriod) = (0.5, 0, 3)
    #expect(options.optimizer == settings)
    (settings.beta1, settings.beta2, settings.eps, settings.momentum) = (0.1, 0.2, 0.5, 0)
    #expect(options.settings(of: "blocks.0.norm.weight").optimizer == settings)
    #expect(options.schedule == Schedule(kind: .wsd, warmup: 7, total: 9, floor: 0, decay: 2))
    #expect(options.groups.count == 3)
    #expect(options.seed == 12)
    #expect(options.accumulate == 3)
    #expect(try parse(options.canonicalJSON) == options)
    #expect(try parse(TrainerOptions().canonicalJSON) == TrainerOptions())
  }

  @Test(arguments: [
    (#"{"learning_rate": 1}"#, "/learning_rate"), (#"{"lr": "1"}"#, "/lr"), (#"{"lr": -1}"#, "/lr"),
    (#"{"optimizer": "Adam"}"#, "/optimizer"), (#"{"betas": [0.9]}"#, "/betas"),
    (#"{"betas": [0.9, 1]}"#, "/betas/1"), (#"{"eps": 0}"#, "/eps"),
    (#"{"weight_decay": -0.1}"#, "/weight_decay"), (#"{"momentum": 1}"#, "/momentum"),
    (#"{"clip": -1}"#, "/clip"), (#"{"schedule": "cosine"}"#, "/schedule"),
    (#"{"schedule": {"type": "line"}}"#, "/schedule/type"),
    (#"{"schedule": {"steps": 3}}"#, "/schedule/steps"),
    (#"{"schedule": {"total": 1.5}}"#, "/schedule/total"),
    (#"{"schedule": {"floor": 2}}"#, "/schedule/floor"), (#"{"accumulate": 0}"#, "/accumulate"),
    (#"{"seed": -1}"#, "/seed"), (#"{"groups": {}}"#, "/groups"),
    (#"{"groups": [{}]}"#, "/groups/0/pattern"),
    (#"{"groups": [{"pattern": "a"}, {"pattern": "b", "momentum": 1}]}"#, "/groups/1/momentum"),
    (#"{"groups": [{"pattern": "a", "betas": [0, 2]}]}"#, "/groups/0/betas/1"),
    (#"{"groups": [{"pattern": "a", "eps": 0}]}"#, "/groups/0/eps"),
    (#"{"groups": [{"pattern": "a", "clip": 1}]}"#, "/groups/0/clip"),
    (#"{"slow": {"period": 0}}"#, "/slow/period"), (#"{"slow": {"beta": 1}}"#, "/slow/beta"),
    (#"{"slow": {"weight": -1}}"#, "/slow/weight"), (#"{"slow": {"rate": 1}}"#, "/slow/rate"),
    (#"{"slow": 3}"#, "/slow"),
    (#"{"groups": [{"pattern": "a", "lr": -1}]}"#, "/groups/0/lr"), (#"[]"#, ""),
  ])
  func mistakesNameTheirPlace(text: String, place: String) {
    let error = #expect(throws: NestedError.self) { try parse(text) }
    #expect(error?.code == .config)
    #expect(error?.place == place)
  }

  @Test(arguments: ["{", "{\"lr\": 1, \"lr\": 2}", "{} x"]) func malformedTextIsRefused(
    text: String
  ) {
    #expect(throws: NestedError.self) { try parse(text) }
  }

  @Test(arguments: [
    ("embed.weight", "embed.weight", true), ("embed.weight", "embed.*", true),
    ("embed.weight", "*", true),
    ("embed.weight", "embed", false), ("embed.weight", "*.weigh?", true),
    ("embed.weight", "?mbed*t", true),
    ("blocks.0.cms.1.up.weight", "blocks.*.cms.1.*", true),
    ("blocks.0.cms.1.up.weight", "blocks.*.cms.2.*", false),
    ("blocks.10.mixer.q.weight", "blocks.?.mixer.*", false), ("aaab", "*a*ab", true),
    ("", "*", true),
    ("a", "", false), ("a.*", "a.*", true), ("norm.weight", "**norm**", true),
  ])
  func patternsMatchWholeNames(name: String, pattern: String, expected: Bool) {
    #expect(TrainerOptions.matches(name, pattern) == expected)
  }

  private func rates(_ options: TrainerOptions, _ name: String) -> (Double, Double) {
    let own = options.settings(of: name)
    return (own.lr, own.weightDecay)
  }

  @Test func laterGroupsWinAndSetOnlyWhatTheyName() throws {
    let options = try parse(
      #"{"lr": 0.1, "groups": [{"pattern": "a*", "lr": 0.2, "weight_decay": 0}, {"pattern": "ab", "lr": 0.4}]}"#
    )
    #expect(rates(options, "b") == (0.1, 0.1))
    #expect(rates(options, "a") == (0.2, 0))
    #expect(rates(options, "ab") == (0.4, 0))
  }
}
