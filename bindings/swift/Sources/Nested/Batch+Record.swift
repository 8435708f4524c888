internal import CNested

extension Batch {
  /// `body` with the C struct, valid inside it.
  func use<Result>(_ body: (UnsafePointer<nested_batch>) -> Result) -> Result {
    var record = unsafe nested_batch.stamped()
    unsafe record.n_seq = Int64(rows)
    unsafe record.seq_len = Int64(length)
    return unsafe (weights ?? []).withUnsafeBufferPointer { values in
      unsafe record.weights = weights == nil ? nil : values.baseAddress
      guard let vectors else { return unsafe useTokens(&record, body) }
      return unsafe withView(of: vectors.values, shape: vectors.shape) { inputs in
        unsafe record.inputs = inputs
        return unsafe useAnswers(&record, body)
      }
    }
  }

  private func useTokens<Result>(
    _ record: inout nested_batch, _ body: (UnsafePointer<nested_batch>) -> Result
  ) -> Result {
    unsafe tokens.withUnsafeBufferPointer { tokens in
      unsafe record.tokens = tokens.baseAddress
      return unsafe (targets ?? []).withUnsafeBufferPointer { values in
        unsafe record.targets = targets == nil ? nil : values.baseAddress
        return unsafe body(&record)
      }
    }
  }

  private func useAnswers<Result>(
    _ record: inout nested_batch, _ body: (UnsafePointer<nested_batch>) -> Result
  ) -> Result {
    switch answers {
    case .labels(let labels):
      let shape = labels.count == rows ? [rows] : [rows, length]
      return unsafe withView(of: labels, shape: shape) { view in
        unsafe record.labels = view
        return unsafe body(&record)
      }
    case .values(let values):
      return unsafe withView(of: values.values, shape: values.shape) { view in
        unsafe record.labels = view
        return unsafe body(&record)
      }
    case nil: return unsafe body(&record)
    }
  }
}
