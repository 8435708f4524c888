package import NestedBase
package import NestedTensor

// Tasks classify and regress: every row a fresh stream at position 0, levels fixed.

extension Model {
  /// outputs [B, T, O], or if `pooled` [B, O].
  package func outputs(
    _ input: NetworkInput, batch: Int, length: Int, pooled: Bool, into to: Floats, control: RunControl
  ) throws(NestedError) {
    let width = configuration.outputCount, inputs = configuration.inputs
    try forEachRow(batch, length, control, "forward") { (engine, parameters, row) throws(NestedError) in
      let result = try network.outputs(
        engine, parameters, input.advanced(by: row * length, width: inputs), batch: 1, length: length,
        pooled: pooled)
      (to + row * result.count).copy(from: result.floats, count: pooled ? width : length * width)
    }
  }

  package func evaluate(
    _ input: NetworkInput, _ labels: Labels, batch: Int, length: Int, control: RunControl
  ) throws(NestedError) -> LabelLoss {
    let inputs = configuration.inputs
    var total = LabelLoss()
    try forEachRow(batch, length, control, "evaluate") { (engine, parameters, row) throws(NestedError) in
      let result = try network.outputs(
        engine, parameters, input.advanced(by: row * length, width: inputs), batch: 1, length: length,
        pooled: labels.perRow)
      total += try labels.loss(engine, result, from: row * (labels.perRow ? 1 : length)).total
    }
    return total
  }
}
