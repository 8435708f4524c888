package import NestedBase
package import NestedModels
package import NestedTensor

/// Rows of a batch that are passed through the network together.
func rowsPerGroup(_ length: Int) -> Int { max(1, 4096 / max(1, length)) }

/// gradient += d(Σ weight · nll) / dW over a batch of fresh rows; returns the sum of losses and the targets that counted.
///
/// tokens, targets (negative: none; nil: the row's next token) and lossWeights are [B, T]. Rows are taken in groups, so
/// memory does not grow with B beyond one group; the groups depend on the shape of the batch only, and with `cms.meta` a
/// group is one row. `inputs` [layout.inputCount] += what went into every matrix. On failure `gradient` holds part of the sum.
package func addGradient(
  of model: Model, tokens: Tokens, targets: Tokens?, lossWeights: Floats?, batch: Int,
  length: Int, into gradient: Floats, inputs: Floats? = nil, engine: Engine, control: RunControl
) throws(NestedError) -> (lossSum: Double, targets: Double) {
  let rows = TargetRows(tokens, targets, batch: batch, length: length)
  // The mean over the rows of a layer's input, as many times as there are targets: it then becomes a mean with them.
  let share = Float(rows.count(lossWeights) / Double(max(1, batch * length)))
  let adapts = model.configuration.kind.hasLevels && model.configuration.cms.meta != .none
  // Sessions read the weights under a lock of their own, so they get the weights as they are now.
  let model = adapts ? try model.clone() : model
  let group = adapts ? 1 : rowsPerGroup(length)
  var lossSum = 0.0
  var row = 0
  while row < batch {
    try control.report("train", row, batch, .nan)
    let count = min(group, batch - row)
    let at = row * length
    let done = row
    let inner = RunControl { (_, _, _, _) throws(NestedError) in
      try control.report("train", done, batch, .nan)
    }
    let path = adapts ? try AdaptedLevels(model, tokens: tokens + at, length: length, control: inner) : nil
    lossSum += try model.withWeights { (_: Floats) throws(NestedError) -> Double in
      let tape = Tape()
      tape.inputWeight = share
      engine.tape = tape
      defer { engine.tape = nil }
      let parameters = model.storageParameters().variables(tape, model.layout, addingTo: gradient, inputs: inputs)
      let logits = try model.network.logits(
        engine, parameters, tokens: tokens + at, batch: count, length: length,
        spans: path?.variables(tape, parameters, addingTo: gradient) ?? [])
      return try rows.withTokens { (targets: Tokens) throws(NestedError) -> Double in
        let result = try engine.crossEntropy(logits, targets + at, weights: lossWeights.map { $0 + at })
        try tape.backward(engine, from: result.loss, seed: try engine.full(Shape(1), 1))
        return result.sum
      }
    }
    row += count
  }
  return (lossSum, rows.count(lossWeights))
}
