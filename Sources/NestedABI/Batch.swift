public import CNested
internal import NestedBase
internal import NestedModels
internal import NestedTensor
internal import NestedTraining

// Section 8 of the header: batches and evaluation. What is special about vectors and labels is in Labels.swift.

/// What a call does with a batch's labels.
enum LabelUse {
  /// Looks at none.
  case none
  /// Needs labels that the model knows.
  case known
  /// Needs labels, new ones too.
  case new
}

/// A caller's batch, checked against the model that will read it.
func batch(
  _ pointer: UnsafePointer<nested_batch>?, _ model: Model, _ use: LabelUse = .known
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
  let c = model.configuration
  unsafe try refuse(
    batch.tokens != nil && c.kind.readsVectors, "batch.tokens", "this model reads vectors; give batch.inputs")
  unsafe try refuse(
    batch.inputs != nil && !c.kind.readsVectors, "batch.inputs", "this model reads tokens; give batch.tokens")
  unsafe try refuse(
    batch.targets != nil && c.hasLabels, "batch.targets",
    "this model's task is \(c.task.rawValue); give batch.labels")
  unsafe try refuse(
    batch.labels != nil && !c.hasLabels, "batch.labels", "this model predicts tokens; give batch.targets")

  guard c.hasLabels else {
    var result = Trainer.Batch(
      tokens: unsafe try tokens(batch.tokens, count: count, vocab: c.vocab, "batch.tokens"), batch: rows,
      length: length)
    if unsafe batch.targets != nil {
      result.targets = unsafe try tokens(
        batch.targets, count: count, vocab: c.vocab, "batch.targets", ignore: -100)
    }
    result.weights = unsafe try lossWeights(batch.weights, count: count)
    return result
  }
  var read: NetworkInput
  var owners: [Storage] = []
  if c.kind.readsVectors {
    let vectors = unsafe try vectors(batch.inputs, rows: rows, length: length, model)
    read = .vectors(vectors.floats)
    if let owner = vectors.owner { owners.append(owner) }
  } else {
    read = .tokens(unsafe try tokens(batch.tokens, count: count, vocab: c.vocab, "batch.tokens"))
  }
  var known: Labels? = nil
  if use != .none {
    known = unsafe try labels(
      batch.labels, batch.weights, rows: rows, length: length, model, limit: use == .new ? labelLimit : c.classes)
  }
  return Trainer.Batch(read, labels: known, batch: rows, length: length, owners: owners)
}

private func refuse(_ condition: Bool, _ name: StaticString, _ why: String) throws(NestedError) {
  if condition { throw NestedError(.argument, "\(name) has no place here: \(why).", place: "\(name)") }
}

func evaluation(_ loss: LabelLoss, _ task: ModelTask) -> nested_eval {
  var eval = nested_eval()
  let any = loss.targets > 0
  eval.loss = any ? loss.lossSum / loss.targets : .nan
  eval.perplexity = task == .regress ? .nan : exponential(eval.loss)
  eval.accuracy = any && task == .classify ? loss.correct / loss.targets : .nan
  eval.n_targets = loss.targets
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
        try rows.evaluate(object.model, control)
      }
    }
    out.write(evaluation(result, object.model.configuration.task))
  }
}

extension Trainer.Batch {
  func evaluate(_ model: Model, _ control: RunControl) throws(NestedError) -> LabelLoss {
    if let labels {
      return try model.evaluate(input, labels, batch: batch, length: length, control: control)
    }
    guard case .tokens(let tokens) = input else { throw nullArgument("batch.labels") }
    let result = try model.evaluate(
      tokens: tokens, targets: targets, batch: batch, length: length, weights: weights, control: control)
    var loss = LabelLoss()
    loss.lossSum = result.lossSum
    loss.targets = result.targets
    return loss
  }
}

/// Where the answers for a batch go: the caller's memory when that is dense float32, else a copy that is converted.
struct OutputsTarget {
  let floats: Floats
  /// One answer for each row, not for each position.
  let pooled: Bool
  private let view: StridedArray
  private let copy: Storage?

  init(
    _ pointer: UnsafePointer<nested_view>?, _ rows: Trainer.Batch, outputs: Int, mayPool: Bool,
    _ budget: MemoryBudget
  ) throws(NestedError) {
    view = unsafe try NestedABI.view(pointer, "dst", types: wideFloatTypes)
    pooled = mayPool && view.hasShape([rows.batch, outputs])
    guard pooled || view.hasShape([rows.batch, rows.length, outputs]) else {
      let choice = mayPool ? " or [\(rows.batch), \(outputs)]" : ""
      throw NestedError(
        .shape, "dst must have shape [\(rows.batch), \(rows.length), \(outputs)]\(choice).", place: "dst.shape")
    }
    if let own = view.floats {
      (floats, copy) = (own, nil)
    } else {
      let storage = try Storage(count: view.count, budget: budget)
      (floats, copy) = (storage.floats, storage)
    }
  }

  func deliver() { if copy != nil { view.assign(floats) } }
}

@_cdecl("nested_model_forward")
public func nested_model_forward(
  _ model: OpaquePointer?, _ batch: UnsafePointer<nested_batch>?, _ run: UnsafePointer<nested_run>?,
  _ dst: UnsafePointer<nested_view>?
) -> nested_status {
  call("nested_model_forward") { call throws(NestedError) in
    let object = unsafe try call.model(model)
    let rows = unsafe try NestedABI.batch(batch, object.model, .none)
    let c = object.model.configuration
    let target = unsafe try OutputsTarget(
      dst, rows, outputs: c.outputCount, mayPool: c.hasLabels, object.context.runtime.budget)
    try object.reading { () throws(NestedError) in
      unsafe try withRun(run, call, "forward", total: rows.batch * rows.length) {
        (control: RunControl) throws(NestedError) in
        try withExtendedLifetime(rows) { () throws(NestedError) in
          try object.model.outputs(
            rows.input, batch: rows.batch, length: rows.length, pooled: target.pooled, into: target.floats,
            control: control)
        }
      }
    }
    target.deliver()
  }
}
