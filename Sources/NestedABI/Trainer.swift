public import CNested
internal import NestedBase
internal import NestedCheckpoint
internal import NestedModels
internal import NestedTensor
internal import NestedTraining

// Section 9 of the header: training. A trainer's calls run one at a time behind its gate; its model is marked as being
// read, so that a callback can look at the model and cannot change it under the step.

@_cdecl("nested_trainer_create")
public func nested_trainer_create(
  _ model: OpaquePointer?, _ options: UnsafePointer<CChar>?, _ length: Int,
  _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> nested_status {
  call("nested_trainer_create") { call throws(NestedError) in
    let out = unsafe try NewHandle(out)
    let object = unsafe try call.model(model)
    let json =
      unsafe options == nil ? [UInt8]("{}".utf8) : try jsonBytes(options, length, "options")
    try object.checkWritable()
    guard object.attachTrainer() else {
      throw NestedError(
        .exists, "The model has a trainer already; release it first.", place: "model")
    }
    let trainer: TrainerObject
    do throws(NestedError) {
      trainer = TrainerObject(try Trainer(model: object.model, options: json), object)
    } catch {
      object.detachTrainer()
      throw error
    }
    try out.publish(.trainer, trainer)
  }
}

@_cdecl("nested_trainer_schema")
public func nested_trainer_schema() -> UnsafePointer<CChar>? { unsafe trainerSchema.pointer }

private let trainerSchema = StaticText(TrainerOptions.schema)

@_cdecl("nested_trainer_get_options")
public func nested_trainer_get_options(
  _ trainer: OpaquePointer?, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> nested_status {
  call("nested_trainer_get_options") { call throws(NestedError) in
    let out = unsafe try NewHandle(out)
    let object = unsafe try call.trainer(trainer)
    let json = try object.gate.withLock("trainer") { () throws(NestedError) in
      object.trainer.optionsJSON
    }
    try out.publish(.blob, BlobObject(json))
  }
}

@_cdecl("nested_trainer_release")
public func nested_trainer_release(_ trainer: OpaquePointer?) {
  unsafe handles.release(trainer, .trainer)
}

/// Runs a call's work on a trainer that has been looked up: behind the gate, with the host's all-reduce hook wired to
/// this call.
private func working<R>(
  _ object: TrainerObject, _ call: Call, _ run: UnsafePointer<nested_run>?, _ stage: StaticString,
  total: Int, begin: () -> Void = {}, _ body: (RunControl) throws(NestedError) -> R
) throws(NestedError) -> R {
  try object.gate.withLock("trainer") { () throws(NestedError) in
    try object.model.reading { () throws(NestedError) in
      object.trainer.allReduce = allReduce(object.hook, call.environment)
      defer { object.trainer.allReduce = nil }
      return unsafe try withRun(run, call, stage, total: total, begin: begin, body)
    }
  }
}

private func allReduce(
  _ hook: AllReduceHook?, _ environment: UInt64
) -> ((Trainer.Reduction) throws(NestedError) -> Void)? {
  guard let hook else { return nil }
  return { (part) throws(NestedError) in
    let answer: Int32 =
      switch part {
      case .gradient(let values, let count):
        withHost(environment) {
          unsafe hook.function(
            hook.user, UnsafeMutableRawPointer(values.pointer), count, Int32(NESTED_F32))
        }
      case .targets(let cell):
        withHost(environment) {
          unsafe hook.function(
            hook.user, UnsafeMutableRawPointer(cell.pointer), 1, Int32(NESTED_F64))
        }
      }
    guard answer == 0 else {
      throw NestedError(.callback, "The all-reduce hook failed.", callbackCode: answer)
    }
  }
}

private func step(_ result: StepResult) -> nested_step {
  var step = nested_step()
  step.applied = result.applied ? 1 : 0
  step.skip_reason = result.skip.rawValue
  step.step = UInt64(max(result.step, 0))
  step.n_targets = result.targets
  step.loss = result.loss
  step.grad_norm = result.gradientNorm
  step.update_norm = result.updateNorm
  step.lr = result.learningRate
  return step
}

private func logSkip(_ call: inout Call, _ result: StepResult) {
  if result.skip == .nonFiniteGradient {
    call.log(
      Int(NESTED_LOG_WARN), "train", "step \(result.step): gradient not finite, update skipped")
  }
}

@_cdecl("nested_trainer_step")
public func nested_trainer_step(
  _ trainer: OpaquePointer?, _ batch: UnsafePointer<nested_batch>?,
  _ run: UnsafePointer<nested_run>?,
  _ out: UnsafeMutablePointer<nested_step>?
) -> nested_status {
  call("nested_trainer_step") { call throws(NestedError) in
    let out = unsafe try Output(out, "out", optional: true)
    let object = unsafe try call.trainer(trainer)
    let rows = unsafe try NestedABI.batch(batch, object.model.model)
    let result = unsafe try working(object, call, run, "step", total: rows.batch * rows.length) {
      (control: RunControl) throws(NestedError) in try object.trainer.step(rows, control: control)
    }
    logSkip(&call, result)
    out.write(NestedABI.step(result))
  }
}

@_cdecl("nested_trainer_accumulate")
public func nested_trainer_accumulate(
  _ trainer: OpaquePointer?, _ batch: UnsafePointer<nested_batch>?,
  _ run: UnsafePointer<nested_run>?,
  _ out: UnsafeMutablePointer<nested_eval>?
) -> nested_status {
  call("nested_trainer_accumulate") { call throws(NestedError) in
    let out = unsafe try Output(out, "out", optional: true)
    let object = unsafe try call.trainer(trainer)
    let rows = unsafe try NestedABI.batch(batch, object.model.model)
    let result = unsafe try working(
      object, call, run, "accumulate", total: rows.batch * rows.length
    ) {
      (control: RunControl) throws(NestedError) in
      try object.trainer.accumulate(rows, control: control)
    }
    out.write(evaluation(result, object.model.model.configuration.task))
  }
}

@_cdecl("nested_trainer_apply")
public func nested_trainer_apply(
  _ trainer: OpaquePointer?, _ run: UnsafePointer<nested_run>?,
  _ out: UnsafeMutablePointer<nested_step>?
) -> nested_status {
  call("nested_trainer_apply") { call throws(NestedError) in
    let out = unsafe try Output(out, "out", optional: true)
    let object = unsafe try call.trainer(trainer)
    let result = unsafe try working(object, call, run, "apply", total: 1) {
      (control: RunControl) throws(NestedError) in try object.trainer.apply(control: control)
    }
    logSkip(&call, result)
    out.write(NestedABI.step(result))
  }
}

@_cdecl("nested_trainer_zero")
public func nested_trainer_zero(_ trainer: OpaquePointer?) -> nested_status {
  call("nested_trainer_zero") { call throws(NestedError) in
    let object = unsafe try call.trainer(trainer)
    try object.gate.withLock("trainer") { () throws(NestedError) in object.trainer.zero() }
  }
}

@_cdecl("nested_trainer_gradient")
public func nested_trainer_gradient(
  _ trainer: OpaquePointer?, _ out_data: UnsafeMutablePointer<UnsafeMutablePointer<Float>?>?,
  _ out_count: UnsafeMutablePointer<Int>?,
  _ out_n_targets: UnsafeMutablePointer<UnsafeMutablePointer<Double>?>?
) -> nested_status {
  call("nested_trainer_gradient") { call throws(NestedError) in
    let data = unsafe try required(out_data, "out_data")
    let count = unsafe try optional(out_count, "out_count")
    let targets = unsafe try optional(out_n_targets, "out_n_targets")
    let object = unsafe try call.trainer(trainer)
    try object.gate.withLock("trainer") { () throws(NestedError) in
      unsafe data.pointee = object.trainer.gradient.pointer
      unsafe count?.pointee = object.trainer.gradientCount
      unsafe targets?.pointee = object.trainer.targetCount.pointer
    }
  }
}

@_cdecl("nested_trainer_set_allreduce")
public func nested_trainer_set_allreduce(
  _ trainer: OpaquePointer?, _ hook: nested_allreduce_fn?, _ user: UnsafeMutableRawPointer?,
  _ bucket_elements: Int
) -> nested_status {
  call("nested_trainer_set_allreduce") { call throws(NestedError) in
    let object = unsafe try call.trainer(trainer)
    guard bucket_elements >= 0 else {
      throw NestedError(.range, "bucket_elements is too large.", place: "bucket_elements")
    }
    try object.gate.withLock("trainer") { () throws(NestedError) in
      object.hook = unsafe hook.map { unsafe AllReduceHook(function: $0, user: user) }
      object.trainer.bucketSize = bucket_elements
    }
  }
}

@_cdecl("nested_trainer_set_lr")
public func nested_trainer_set_lr(_ trainer: OpaquePointer?, _ lr: Double) -> nested_status {
  call("nested_trainer_set_lr") { call throws(NestedError) in
    let object = unsafe try call.trainer(trainer)
    try finite(lr, "lr")
    try object.gate.withLock("trainer") { () throws(NestedError) in
      try object.trainer.setLearningRate(lr)
    }
  }
}

@_cdecl("nested_trainer_fit")
public func nested_trainer_fit(
  _ trainer: OpaquePointer?, _ tokens: UnsafePointer<Int32>?, _ n_tokens: Int, _ steps: Int64,
  _ n_seq: Int64, _ seq_len: Int64, _ run: UnsafePointer<nested_run>?,
  _ out: UnsafeMutablePointer<nested_fit>?
) -> nested_status {
  call("nested_trainer_fit") { call throws(NestedError) in
    let out = unsafe try Output(out, "out", optional: true)
    let object = unsafe try call.trainer(trainer)
    try checkPredictsTokens(object.model.model, "trainer")
    let text = unsafe try NestedABI.tokens(
      tokens, count: n_tokens, vocab: object.model.model.configuration.vocab, "tokens")
    for (value, name) in [(steps, "steps"), (n_seq, "n_seq"), (seq_len, "seq_len")] {
      guard value >= 1, value <= Int64(Int32.max) else {
        throw NestedError(.range, "\(name) is \(value), not in 1...2147483647.", place: name)
      }
    }
    guard Int(seq_len) < n_tokens else {
      throw NestedError(
        .range, "seq_len \(seq_len) needs at least \(seq_len + 1) tokens, not \(n_tokens).",
        place: "n_tokens")
    }
    try reserve(try product(try product(Int(n_seq), Int(seq_len), "n_seq"), 12, "n_seq"))
    let result = unsafe try working(
      object, call, run, "fit", total: Int(steps), begin: { out.write(fit(FitResult())) }
    ) {
      (control: RunControl) throws(NestedError) in
      do throws(NestedError) {
        return try object.trainer.fit(
          tokens: text, count: n_tokens, steps: Int(steps), batch: Int(n_seq), length: Int(seq_len),
          control: control)
      } catch {
        out.write(fit(object.trainer.lastFit))
        throw error
      }
    }
    out.write(fit(result))
    if result.skipped > 0 {
      call.log(Int(NESTED_LOG_WARN), "train", "fit: \(result.skipped) updates skipped")
    }
  }
}

private func fit(_ result: FitResult) -> nested_fit {
  var fit = nested_fit()
  fit.n_steps = UInt64(max(result.steps, 0))
  fit.n_skipped = UInt64(max(result.skipped, 0))
  fit.mean_loss = result.loss
  fit.last_loss = result.last.loss
  return fit
}

@_cdecl("nested_trainer_save")
public func nested_trainer_save(
  _ trainer: OpaquePointer?, _ path: UnsafePointer<CChar>?, _ flags: UInt32,
  _ run: UnsafePointer<nested_run>?
) -> nested_status {
  call("nested_trainer_save") { call throws(NestedError) in
    let object = unsafe try call.trainer(trainer)
    let path = unsafe try filePath(path)
    try checkSaveFlags(flags)
    unsafe try working(object, call, run, "save", total: 0) {
      (control: RunControl) throws(NestedError) in
      try object.trainer.save(to: path, sync: flags == 0, control: control)
    }
    call.log(Int(NESTED_LOG_INFO), "save", "trainer written to \(path.text)")
  }
}

@_cdecl("nested_trainer_load")
public func nested_trainer_load(
  _ trainer: OpaquePointer?, _ path: UnsafePointer<CChar>?, _ run: UnsafePointer<nested_run>?
) -> nested_status {
  call("nested_trainer_load") { call throws(NestedError) in
    let object = unsafe try call.trainer(trainer)
    let path = unsafe try filePath(path)
    unsafe try working(object, call, run, "load", total: 0) {
      (control: RunControl) throws(NestedError) in
      try object.trainer.load(from: path, control: control)
    }
    call.log(Int(NESTED_LOG_INFO), "load", "trainer read from \(path.text)")
  }
}
