/// The outer trainer of SPEC 3 (level periods) and 4 (optimizers): each step takes its learning rate.
package struct OracleTrainer: Sendable {
  package let options: OracleOptions
  package private(set) var values: [String: [Double]]
  package let clip: Double
  /// Since their last step: summed gradients by name, and targets counted, per group.
  package private(set) var sums: [String: [Double]] = [:]
  /// Group -1 is everything outside the levels.
  private var optimizers: [Int: OracleOptimizer] = [:]
  private var targets: [Int: Int] = [:]
  private let rule: OracleOptimizer.Rule
  /// Of sgd and momentum; AdamW's is in its rule.
  private let weightDecay: Double

  package init(
    _ options: OracleOptions, _ values: [String: [Double]], rule: OracleOptimizer.Rule,
    clip: Double,
    weightDecay: Double = 0
  ) {
    self.weightDecay = weightDecay
    self.options = options
    self.values = values
    self.rule = rule
    self.clip = clip
  }

  /// The level a parameter belongs to, -1 outside the CMS.
  package static func level(of name: String) -> Int {
    let parts = name.split(separator: ".")
    guard parts.count > 3, parts[2] == "cms" else { return -1 }
    return Int(parts[3]) ?? -1
  }

  /// Adds Σ losses of every row to the gradients; returns the loss sum and the number of targets.
  @discardableResult
  package mutating func accumulate(_ rows: [[Int]]) -> (lossSum: Double, targets: Int) {
    var loss = 0.0
    var count = 0
    for row in rows {
      let run =
        options.meta == .firstOrder
        ? OracleHope.runAdapted(options, values, row)
        : OracleHope.run(options, values, row, gradients: true)
      loss += run.losses.reduce(0, +)
      count += row.count - 1
      for (name, g) in run.gradients {
        let old = sums[name] ?? [Double](repeating: 0, count: g.count)
        sums[name] = zip(old, g).map { $0 + $1 }
      }
    }
    for group in -1..<options.levels.count { targets[group, default: 0] += count }
    return (loss, count)
  }

  /// Steps what is due; returns the norm of the mean gradient before clipping and the levels that stepped.
  @discardableResult
  package mutating func apply(lr: Double) -> (norm: Double, levels: [Int]) {
    var due: [Int] = []
    for group in -1..<options.levels.count {
      let chunk = group < 0 ? 0 : options.levels[group].chunk
      if targets[group, default: 0] > 0, targets[group]! >= chunk { due.append(group) }
    }
    var means: [Int: [String: [Double]]] = [:]
    for (name, sum) in sums {
      let group = Self.level(of: name)
      guard due.contains(group) else { continue }
      let count = Double(targets[group]!)
      means[group, default: [:]][name] = sum.map { $0 / count }
    }
    let norm = means.values.reduce(0) { $0 + globalNorm($1) * globalNorm($1) }.squareRoot()
    let scale = clip > 0 && norm > clip ? clip / norm : 1
    let shapes = Dictionary(
      uniqueKeysWithValues: options.parameterShapes.map { ($0.name, $0.shape) })
    for group in due {
      var optimizer = optimizers[group] ?? OracleOptimizer(rule, shapes: shapes)
      let gradients = means[group]!.mapValues { $0.map { $0 * scale } }
      if weightDecay > 0 {
        for name in gradients.keys where weightDecayApplies(name, shapes[name]!) {
          values[name] = values[name]!.map { $0 * (1 - lr * weightDecay) }
        }
      }
      optimizer.step(&values, gradients, lr: lr, decays: { weightDecayApplies($0, shapes[$0]!) })
      optimizers[group] = optimizer
      targets[group] = 0
      for name in gradients.keys { sums[name] = nil }
    }
    return (norm, due.filter { $0 >= 0 })
  }
}
