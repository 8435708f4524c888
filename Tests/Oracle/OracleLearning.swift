extension OracleNetwork {
  /// One stream with learning on (SPEC 3) of any kind with levels: logits [T V], and the parameters after it.
  ///
  /// Every segment reads levels of its own on one tape. What came before a segment does not depend on them, so their
  /// gradient is that with the recurrent state at the segment's start held constant.
  package static func learn(
    _ sizes: Sizes, _ start: Values, _ tokens: [Int], levels: [OracleOptions.Level], segment: Int,
    variant: OracleOptions.Variant, _ make: MakeMixer
  ) -> (logits: [Double], values: Values) {
    let tape = ScalarTape()
    var network = OracleNetwork(sizes, start, on: tape, gradients: false, make)
    var values = start, pending: Values = [:], logits: [Double] = []
    var losses: [Num] = [], last: [Num] = []
    let fresh = levels.map { level in
      switch level.optimizer {
      case .sgd: OracleOptimizer(.sgd)
      case .momentum: OracleOptimizer(.momentum(0.9))
      case .adamw: OracleOptimizer(.adamw(beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0))
      default: preconditionFailure("this oracle knows sgd, momentum and adamw")
      }
    }
    var optimizers = (0..<sizes.layers).map { _ in fresh }
    func names(_ layer: Int, _ l: Int) -> [String] {
      start.keys.filter { $0.hasPrefix("blocks.\(layer).cms.\(l).") }
    }
    network.setLevels { values[$0]!.map(tape.leaf) }
    for (t, token) in tokens.enumerated() {
      if t > 0 { losses.append(tape.negativeLogLikelihood(last, token)) }
      if t > 0, t % min(segment, max(1, levels[0].chunk)) == 0 {
        let gradient = tape.backward(losses.map { ($0, 1) })
        losses = []
        for layer in 0..<sizes.layers {
          for (l, level) in levels.enumerated() where level.chunk > 0 {
            for name in names(layer, l) {
              let own = gradient.of(network.parameters[name]!)
              pending[name] = pending[name].map { zip($0, own).map { $0 + $1 } } ?? own
            }
            guard t % level.chunk == 0 else { continue }
            let sum = pending.filter { names(layer, l).contains($0.key) }
            let scale = min(1, level.clip / globalNorm(sum))
            optimizers[layer][l].step(
              &values, sum.mapValues { $0.map { $0 * scale } }, lr: level.lr, decays: { _ in false })
            for name in sum.keys { pending[name] = nil }
          }
          for l in levels.indices.dropLast() where variant == .nested {
            guard levels[l + 1].chunk > 0, t % levels[l + 1].chunk == 0 else { continue }
            for name in names(layer, l) { values[name] = start[name]! }
            optimizers[layer][l] = fresh[l]
          }
        }
        network.setLevels { values[$0]!.map(tape.leaf) }
      }
      last = network.step(token)
      logits += last.map(\.value)
    }
    return (logits, values)
  }
}
