/// Bytes that are one session's own.
struct SessionSize {
  let model: String
  let parameters: Int
  let fresh: UInt64
  let memory: UInt64  // after 1024 tokens, memories written
  let learning: UInt64  // after every level has learnt

  init(_ model: Model, _ text: Text) throws {
    self.model = model.preset
    parameters = model.parameters
    let memory = try Session(model, .memory)
    fresh = try memory.stateBytes()
    try memory.feed(text.take(1024), 1024)
    self.memory = try memory.stateBytes()
    let learning = try Session(model, .on)
    let count = 1 + max(1024, model.slowPeriod)
    try learning.feed(text.take(count), count)
    self.learning = try learning.stateBytes()
  }
}
