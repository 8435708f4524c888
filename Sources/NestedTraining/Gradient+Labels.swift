import NestedBase
import NestedModels
import NestedTensor

/// gradient += d(Σ weight · loss) / dW over a batch of labelled fresh rows, as `addGradient` does for the next token: rows
/// in groups, `inputs` where the optimizer asks for them. On failure `gradient` holds part of the sum.
func addLabelGradient(
  of model: Model, _ batch: Trainer.Batch, _ labels: Labels, into gradient: Floats, inputs: Floats?,
  engine: Engine, control: RunControl
) throws(NestedError) -> LabelLoss {
  let (rows, length) = (batch.batch, batch.length)
  let group = rowsPerGroup(length)
  // How often a position counts, so that a layer's summed inputs become their mean with the targets.
  let places = labels.perRow ? rows : rows * length
  let share = Float(labels.targets(places, outputs: model.configuration.outputCount) / Double(rows * length))
  var total = LabelLoss()
  for row in stride(from: 0, to: rows, by: group) {
    try control.report("train", row, rows, .nan)
    let count = min(group, rows - row)
    total += try model.withWeights { (_: Floats) throws(NestedError) -> LabelLoss in
      let tape = Tape()
      tape.inputWeight = share
      engine.tape = tape
      defer { engine.tape = nil }
      let parameters = model.storageParameters().variables(tape, model.layout, addingTo: gradient, inputs: inputs)
      let outputs = try model.network.outputs(
        engine, parameters, batch.input.advanced(by: row * length, width: model.configuration.inputs),
        batch: count, length: length, pooled: labels.perRow)
      let result = try labels.loss(engine, outputs, from: row * (labels.perRow ? 1 : length))
      if result.loss.slot >= 0 {
        try tape.backward(engine, from: result.loss, seed: try engine.full(Shape(1), 1))
      }
      return result.total
    }
  }
  return total
}
