// 03: keep sessions in files, branch them, and make one new model out of what several have learnt.
//
// New here: save(to:), Model(contentsOf:in:), Session(contentsOf:model:), a session's delta alone, fork(), snapshot(),
// restore(), consolidating(), Batch, evaluate().
//
//     swift run 03_save_fork_consolidate
import Foundation
import Nested

func repeated(_ text: String, _ count: Int) -> [UInt8] {
  let bytes = Array(text.utf8)
  return (0..<count).map { bytes[$0 % bytes.count] }
}

func short(_ value: Double) -> Double { (value * 1000).rounded() / 1000 }

let base = repeated("red green blue red green blue. ", 2000)
let ann = repeated("ann likes apples and pears. ", 600)
let ben = repeated("ben likes trains & boats. ", 600)

let context = try Context()
let made = try Model(
  Configuration([
    "kind": "hope", "vocab": 256, "d_model": 64, "n_layers": 2, "head_dim": 32,
    "cms": [
      "levels": [
        ["chunk": 16, "hidden": 128, "lr": 0.05], ["chunk": 128, "hidden": 128, "lr": 0.02],
        ["chunk": 0, "hidden": 128],
      ]
    ],
  ]),
  seed: 1, in: context)
try Trainer(made, options: .init(schedule: .cosine(warmup: 20, total: 150)))
  .fit(base, steps: 150, batch: 8, length: 64)

let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
defer { try? FileManager.default.removeItem(at: folder) }
func file(_ name: String) -> String { folder.appending(path: name).path(percentEncoded: false) }

// Files are safetensors; a crash while saving leaves the old file or the new one.
try made.save(to: file("model.safetensors"))
let model = try Model(contentsOf: file("model.safetensors"), in: context)

// Saved and loaded, a session goes on as if nothing had happened.
let first = try Session(model, learn: .on)
try first.feed(ann[..<300])
try first.save(to: file("ann.safetensors"))
let a = try Session(contentsOf: file("ann.safetensors"), model: model)

// A fork is a stream of its own; a snapshot is a place to come back to.
let branch = try a.fork()
let snapshot = try a.snapshot()
try a.feed(ann[300...])
try branch.feed(ann[300...])
let agree = try a.output == branch.output
print("the session and its fork read the same and predict the same bits: \(agree)")
try branch.restore(snapshot)
guard try agree && branch.info.position == 300 else { fatalError("a fork is not a copy") }

// What the levels have learnt, alone, is small, and fits any machine that has the model.
let b = try Session(model, learn: .on)
try b.feed(ben)
try b.save(to: file("ben.delta"), delta: true)
let sent = try Session(contentsOf: file("ben.delta"), model: model)
print(
  "a session of \(try b.snapshot().bytes().count) bytes sends \(try b.snapshot().bytes(delta: true).count)"
)

// Both sessions' levels, merged into a new model; the old model stays as it is.
let merged = try model.consolidating([a, sent], weights: [1, 1])
print("loss, nats per byte: model, consolidated")
var gains: [Double] = []
for (name, text) in [
  ("what ann wrote", ann), ("what ben wrote", ben), ("what the model knew", base),
] {
  let batch = try Batch([text.prefix(300)])
  let (old, new) = (try model.evaluate(batch).loss, try merged.evaluate(batch).loss)
  print("  \(name): \(short(old)), \(short(new))")
  gains.append(old - new)
}
guard gains[0] > 0 && gains[1] > 0 else { fatalError("nothing was consolidated") }
