// 02: a session that reads something new gets better at it, while the model stays as it is.
//
// New here: LearnMode, Feed, Session.info, levels, score(), resetLevels().
//
//     swift run 02_session_keeps_learning
import Nested

/// The text over and over, `count` bytes of it.
func repeated(_ text: String, _ count: Int) -> [UInt8] {
  let bytes = Array(text.utf8)
  return (0..<count).map { bytes[$0 % bytes.count] }
}

func short(_ value: Double) -> Double { (value * 1000).rounded() / 1000 }

let old = repeated("one two three four five six seven eight nine ten. ", 4000)
let new = repeated("eins zwei drei vier sechs acht neun zehn elf! ", 1024)

let model = try Model(
  Configuration([
    "kind": "hope", "vocab": 256, "d_model": 64, "n_layers": 2, "head_dim": 32,
    "cms": [
      "levels": [
        ["chunk": 16, "hidden": 128, "lr": 0.05], ["chunk": 128, "hidden": 128, "lr": 0.02],
        ["chunk": 0, "hidden": 128],
      ]
    ],
  ]),
  seed: 1, in: Context())
try Trainer(model, options: .init(schedule: .cosine(warmup: 20, total: 150)))
  .fit(old, steps: 150, batch: 8, length: 64)
let before = try model.parameters

// The same new text into three sessions: what is the surprise (nats per byte) of each quarter?
var last: [LearnMode: Double] = [:]
for mode in [LearnMode.off, .memory, .on] {
  let session = try Session(model, learn: mode)
  var losses: [Double] = []
  for quarter in 0..<4 {
    losses.append(try session.feed(new[quarter * 256..<(quarter + 1) * 256]).loss)
  }
  print("learn: \(mode)  \(losses.map(short))")
  last[mode] = losses[3]

  guard mode == .on else { continue }
  let info = try session.info
  print(
    "\nafter \(info.position) bytes, \(info.updates) updates, \(info.stateBytes) bytes of state of its own:"
  )
  for level in try session.levels where level.layer == 0 {
    print(
      "  block 0, level \(level.level), chunk \(level.chunk): \(level.updates) updates,",
      "moved by \(short(level.deltaNorm)) of \(short(level.weightNorm))")
  }
  // Score does not teach. Reset forgets what the levels have learnt.
  let with = try session.score(new[..<256]).sum
  try session.resetLevels()
  let without = try session.score(new[..<256]).sum
  print(
    "log-probability of 256 bytes: \(short(with)) with what the levels have learnt, \(short(without)) without"
  )
  guard with > without else { fatalError("the levels have learnt nothing") }
}
guard try model.parameters == before else { fatalError("the model has changed") }
guard let on = last[.on], let memory = last[.memory], on < memory else {
  fatalError("learning did not help")
}
