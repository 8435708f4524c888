// 01: train a small byte-level model on a text and let it write.
//
// New here: Context, Configuration, Model, Trainer and its Options, fit(), Run with progress, Session, feed(), generate(),
// Sampling.
//
//     swift run 01_train_generate
import Nested

func short(_ value: Double) -> Double { (value * 1000).rounded() / 1000 }

let story = String(
  repeating: "the river reads the rain and the rain reads the river. what the river reads it keeps "
    + "for a while, and what it keeps it tells the sea. ",
  count: 40)

let context = try Context()  // all cores, no limit, silent
let model = try Model(
  Configuration([
    "kind": "hope", "vocab": 256, "d_model": 64, "n_layers": 2, "head_dim": 32,
    "cms": ["levels": [["chunk": 64, "hidden": 128], ["chunk": 0, "hidden": 128]]],
  ]),
  seed: 1, in: context)

// 60 steps over random windows: 8 rows of 64 bytes each.
let trainer = try Trainer(model, options: .init(schedule: .cosine(warmup: 10, total: 60)))
let fit = try trainer.fit(
  story.utf8, steps: 60, batch: 8, length: 64,
  run: Run { progress in
    if progress.done % 20 == 0 && progress.done > 0 {
      print("\(progress.stage) \(progress.done)/\(progress.total), loss \(short(progress.loss))")
    }
    return .continue  // .stop would end the call
  })
print("\(fit.steps) steps, loss of the last one \(short(fit.lastLoss)) nats per byte")
guard fit.lastLoss < 3 else { fatalError("it has learnt nothing") }

// A session is one stream: feed a beginning, then sample.
let session = try Session(model)
let beginning = story.prefix(32)
try session.feed(beginning.utf8)
print(beginning, terminator: " | ")
let written = try session.generate(80, sampling: Sampling(temperature: 0.7, topK: 20)) { event in
  print(Character(UnicodeScalar(UInt8(event.token))), terminator: "")
  return .continue  // .stop would end the passage
}
print()
guard written.tokens.count == 80 else { fatalError("it wrote \(written.tokens.count) bytes") }
