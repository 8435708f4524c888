extension OracleHope {
  /// One row of outer training whose levels learn along it (SPEC 3, meta "first-order"): the loss of the row as a session
  /// with learning on reads it, and its gradient with what was learnt as a constant offset of the initial levels.
  package static func runAdapted(
    _ options: OracleOptions, _ values: [String: [Double]], _ tokens: [Int],
    targets: [Int]? = nil, weights: [Double]? = nil
  ) -> OracleRun {
    let names = options.parameterShapes.map(\.name).filter { OracleTrainer.level(of: $0) >= 0 }
    var session = OracleSession(
      options, values, mode: .on, adamW: .adamw(beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0))
    let tape = ScalarTape()
    let initial = OracleHope(options, values, on: tape) { _ in true }
    var model = initial
    var state = model.initialState()
    let targets = targets ?? (tokens.dropFirst() + [-1])
    var stretches: [[String: [Num]]] = []
    var present: [String: [Double]] = [:]
    var result = OracleRun(state: state)
    var seeds: [(Num, Double)] = []
    for (t, token) in tokens.enumerated() {
      _ = session.feed([token])
      let levels = session.values.filter { names.contains($0.key) }
      if levels != present {
        var leaves: [String: [Num]] = [:]
        for name in names { leaves[name] = levels[name]!.map(tape.leaf) }
        model = initial.with(levels: leaves)
        stretches.append(leaves)
        present = levels
      }
      let out = model.step(tape, token, &state)
      result.logits.append(out.map(\.value))
      guard targets[t] >= 0 else {
        result.losses.append(0)
        continue
      }
      let loss = tape.negativeLogLikelihood(out, targets[t])
      result.losses.append(loss.value)
      seeds.append((loss, weights?[t] ?? 1))
    }
    result.state = state
    let gradient = tape.backward(seeds)
    for (name, leaf) in initial.parameters { result.gradients[name] = gradient.of(leaf) }
    for leaves in stretches {
      for (name, leaf) in leaves {
        result.gradients[name] = zip(result.gradients[name]!, gradient.of(leaf)).map { $0 + $1 }
      }
    }
    return result
  }
}
