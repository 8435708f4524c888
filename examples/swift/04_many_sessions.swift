// 04: one model, many streams: a task and a session for each, all on the same weights.
//
// New here: Context(threads:), Sendable sessions in a task group, Session.feedEach(), Context.memory.
//
//     swift run 04_many_sessions
import Nested

func short(_ value: Double) -> Double { (value * 1000).rounded() / 1000 }

/// What one user's stream comes to.
struct Stream: Equatable {
  let first, last: Double  // surprise of the first and of the last quarter
  let output: [Float]
}

let phrases = [
  "ann likes pears. ", "ben has a boat! ", "cid says no, no. ", "dee, dum, dee, dum: ",
]

/// Every task does this; the model is only read, so nothing needs a lock.
@Sendable func serve(_ model: Model, _ phrase: String) throws -> Stream {
  let bytes = Array(String(repeating: phrase, count: 40).utf8.prefix(600))
  let session = try Session(model, learn: .on)
  let first = try session.feed(bytes[..<150]).loss
  try session.feed(bytes[150..<450])
  return Stream(
    first: first, last: try session.feed(bytes[450...]).loss, output: try session.output)
}

let context = try Context(threads: 1)  // each call computes on its caller's thread
let model = try Model(
  Configuration([
    "kind": "hope", "vocab": 256, "d_model": 64, "n_layers": 2,
    "cms": ["levels": [["chunk": 16, "hidden": 128, "lr": 0.05], ["chunk": 0, "hidden": 128]]],
  ]),
  seed: 1, in: context)

let parallel = try await withThrowingTaskGroup { [model] group in
  for phrase in phrases { group.addTask { (phrase, try serve(model, phrase)) } }
  var streams: [String: Stream] = [:]
  for try await (phrase, stream) in group { streams[phrase] = stream }
  return streams
}
for (user, phrase) in phrases.enumerated() {
  guard let stream = parallel[phrase], try serve(model, phrase) == stream else {
    fatalError("user \(user): another result than alone")
  }
  print(
    "user \(user): surprise \(short(stream.first)) at first, \(short(stream.last)) in the end, the same bits as alone"
  )
  guard stream.last < stream.first else { fatalError("user \(user) learnt nothing") }
}

// When all streams have one token ready, one call reads them as a batch. The bits are the same again.
let (batched, single) = (
  try phrases.map { _ in try Session(model) }, try phrases.map { _ in try Session(model) }
)
for step in 0..<10 {
  let tokens = phrases.map { Array($0.utf8)[step] }
  let logits = try Session.feedEach(batched, tokens)
  for (user, session) in single.enumerated() {
    try session.feed([tokens[user]])
    guard try session.output == Array(logits[row: user]) else { fatalError("a batch differs") }
  }
}
print("40 tokens in 10 batches: the same bits as 40 calls")
let memory = try context.memory
print("\(memory.inUse) bytes in use, \(memory.peak) at most")
