package import NestedBase
package import NestedModels
package import NestedTensor

/// gradient += d(Σ weight · nll) / dW over a batch of fresh rows; returns the sum of losses and the targets that counted.
///
/// tokens, targets (negative: none; nil: the row's next token) and lossWeights are [B, T]. To be called inside
/// `Model.withWeights`. Rows are taken in groups, so memory does not grow with B beyond one group; the groups
/// depend on the shape of the batch only. `inputs` [layout.inputCount] += what went into every matrix. On failure `gradient` holds part of the sum.
package func addGradient(
  of model: Model, tokens: Tokens, targets: Tokens?, lossWeights: Floats?, batch: Int,
  length: Int, into gradient: Floats, inputs: Floats? = nil, engine: Engine, control: RunControl
) throws(NestedError) -> (lossSum: Double, targets: Double) {
  let rows = TargetRows(tokens, targets, batch: batch, length: length)
  let all = model.storageParameters()
  // The mean over the rows of a layer's input, as many times as there are targets: it then becomes a mean with them.
  let share = Float(rows.count(lossWeights) / Double(max(1, batch * length)))
  let group = max(1, 4096 / max(1, length))
  var lossSum = 0.0
  var row = 0
  while row < batch {
    try control.report("train", row, batch, .nan)
    let count = min(group, batch - row)
    let at = row * length
    let tape = Tape()
    tape.inputWeight = share
    engine.tape = tape
    defer { engine.tape = nil }
    let parameters = all.variables(tape, model.layout, addingTo: gradient, inputs: inputs)
    let logits = try model.network.logits(
      engine, parameters, tokens: tokens + at, batch: count, length: length)
    lossSum += try rows.withTokens { (targets: Tokens) throws(NestedError) -> Double in
      let result = try engine.crossEntropy(logits, targets + at, weights: lossWeights.map { $0 + at })
      try tape.backward(engine, from: result.loss, seed: try engine.full(Shape(1), 1))
      return result.sum
    }
    row += count
  }
  return (lossSum, rows.count(lossWeights))
}
