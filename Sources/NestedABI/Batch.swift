public import CNested
internal import NestedBase
internal import NestedModels
internal import NestedTensor
internal import NestedTraining

// Section 8 of the header: batches and evaluation.

/// A caller's batch, checked against the model that will read it.
func batch(
  _ pointer: UnsafePointer<nested_batch>?, _ model: Model
) throws(NestedError) -> Trainer.Batch {
  guard let batch = unsafe try input(pointer, nested_batch(), "batch") else {
    throw nullArgument("batch")
  }
  guard unsafe batch.reserved == 0 else {
    throw NestedError(.argument, "batch.reserved must be 0.", place: "batch.reserved")
  }
  let (rows, length) = unsafe (Int(batch.n_seq), Int(batch.seq_len))
  guard rows >= 1, length >= 1 else {
    throw NestedError(
      .range, "batch is [\(rows), \(length)]; both must be at least 1.",
      place: rows < 1 ? "batch.n_seq" : "batch.seq_len")
  }
  guard rows <= Int(Int32.max), length <= Int(Int32.max) else {
    throw NestedError(.range, "batch is too large.", place: "batch.n_seq")
  }
  let count = try product(rows, length, "batch")
  try reserve(4 * count)
  let vocab = model.configuration.vocab
  var result = Trainer.Batch(
    tokens: unsafe try tokens(batch.tokens, count: count, vocab: vocab, "batch.tokens"),
    batch: rows,
    length: length)
  if unsafe batch.targets != nil {
    result.targets = unsafe try tokens(
      batch.targets, count: count, vocab: vocab, "batch.targets", ignore: -100)
  }
  if unsafe batch.weights != nil {
    let weights = unsafe try array(batch.weights, count: count, "batch.weights")
    for i in 0..<count {
      guard unsafe weights[i].isFinite else {
        throw NestedError(
          .numeric, "batch.weights[\(i)] is not finite.", place: "batch.weights[\(i)]")
      }
      guard unsafe weights[i] >= 0 else {
        throw NestedError(.range, "batch.weights[\(i)] is negative.", place: "batch.weights[\(i)]")
      }
    }
    result.weights = unsafe Floats(UnsafeMutablePointer(mutating: weights))
  }
  return result
}

func evaluation(_ lossSum: Double, _ targets: Double) -> nested_eval {
  var eval = nested_eval()
  eval.loss = targets > 0 ? lossSum / targets : .nan
  eval.perplexity = exponential(eval.loss)
  eval.n_targets = targets
  return eval
}

@_cdecl("nested_model_evaluate")
public func nested_model_evaluate(
  _ model: OpaquePointer?, _ batch: UnsafePointer<nested_batch>?, _ run: UnsafePointer<nested_run>?,
  _ out: UnsafeMutablePointer<nested_eval>?
) -> nested_status {
  call("nested_model_evaluate") { call throws(NestedError) in
    let out = unsafe try Output(out, "out")
    let object = unsafe try call.model(model)
    let rows = unsafe try NestedABI.batch(batch, object.model)
    let result = try object.reading { () throws(NestedError) in
      unsafe try withRun(run, call, "evaluate", total: rows.batch * rows.length) {
        (control: RunControl) throws(NestedError) in
        try object.model.evaluate(
          tokens: rows.tokens, targets: rows.targets, batch: rows.batch, length: rows.length,
          weights: rows.weights, control: control)
      }
    }
    out.write(evaluation(result.lossSum, result.targets))
  }
}

@_cdecl("nested_model_forward")
public func nested_model_forward(
  _ model: OpaquePointer?, _ batch: UnsafePointer<nested_batch>?, _ run: UnsafePointer<nested_run>?,
  _ dst: UnsafePointer<nested_view>?
) -> nested_status {
  call("nested_model_forward") { call throws(NestedError) in
    let object = unsafe try call.model(model)
    let rows = unsafe try NestedABI.batch(batch, object.model)
    let vocab = object.model.configuration.vocab
    let target = unsafe try view(dst, "dst", types: wideFloatTypes)
    guard target.hasShape([rows.batch, rows.length, vocab]) else {
      throw NestedError(
        .shape, "dst must have shape [\(rows.batch), \(rows.length), \(vocab)].", place: "dst.shape"
      )
    }
    let copy =
      target.floats == nil
      ? try Storage(count: target.count, budget: object.context.runtime.budget) : nil
    guard let logits = target.floats ?? copy?.floats else { return }
    try object.reading { () throws(NestedError) in
      unsafe try withRun(run, call, "forward", total: rows.batch * rows.length) {
        (control: RunControl) throws(NestedError) in
        try object.model.logits(
          tokens: rows.tokens, batch: rows.batch, length: rows.length, into: logits,
          control: control)
      }
    }
    if copy != nil { target.assign(logits) }
  }
}
