package import NestedBase

extension Engine {
  /// Rows of `table` [V, D] for tokens [rows]; the tokens must stay until the tape is walked.
  package func embedding(_ table: Tensor, _ tokens: Tokens, rows: Int) throws(NestedError) -> Tensor {
    let d = table.shape[1]
    let y = try empty(Shape(rows, d))
    kernels.embeddingForward(y.floats, table.floats, tokens, rows, d)
    guard records(table), let tape else { return y }
    return record([table], y) { [unowned tape] (engine, dy) throws(NestedError) in
      let (dTable, result) = try engine.gradientPlace(table, tape)
      engine.kernels.embeddingBackward(dTable, dy.floats, tokens, rows, d)
      return [result]
    }
  }

  /// Σ weight_r nll_r over the rows of logits [rows, V] as a tensor of one element and as a Double, and nll [rows] in nats.
  /// A negative target adds nothing; `weights` [rows] may be nil. Targets and weights must stay until the tape is walked.
  package func crossEntropy(
    _ logits: Tensor, _ targets: Tokens, weights: Floats? = nil
  ) throws(NestedError) -> (loss: Tensor, nll: Tensor, sum: Double) {
    let vocab = logits.shape.last, rows = logits.count / vocab
    let nll = try empty(Shape(rows)), lse = try empty(Shape(rows))
    forRowBlocks(rows, vocab) { row, count in
      kernels.crossEntropyForward(
        nll.floats + row, lse.floats + row, logits.floats + row * vocab, targets + row, count, vocab)
    }
    var sum = 0.0
    for row in 0..<rows where targets[row] >= 0 {
      sum += Double(weights?[row] ?? 1) * Double(nll.floats[row])
    }
    let loss = try full(Shape(1), Float(sum))
    guard records(logits) else { return (loss, nll, sum) }
    let recorded = record([logits], loss) { (engine, dy) throws(NestedError) in
      let scale = try engine.full(Shape(rows), dy.floats[0])
      if let weights { for row in 0..<rows { scale.floats[row] *= weights[row] } }
      let dLogits = try engine.empty(logits.shape)
      engine.forRowBlocks(rows, vocab) { row, count in
        engine.kernels.crossEntropyBackward(
          dLogits.floats + row * vocab, logits.floats + row * vocab, lse.floats + row, targets + row,
          scale.floats + row, count, vocab)
      }
      return [dLogits]
    }
    return (recorded, nll, sum)
  }
}
