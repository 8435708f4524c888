// 07: labels arrive one after another; a session learns them, forgets, and is reminded.
//
// New here: kind "cms" and task "classify", Batch(rows:length:vectors:labels:), Session.teach(), predict(),
// Session.Info.outputs.
//
//     swift run 07_continual_classification
import Nested

/// Five by seven dots.
let glyphs = [
  ".###.#...##...##...##...##...#.###.", "..#...##....#....#....#....#...###.",
  ".###.#...#....#...#...#...#...#####", ".###.#...#....#..##.....##...#.###.",
  "...#...##..#.#.#..#.#####...#....#.",
]

/// A small generator, so that the program says the same each time.
struct Chance {
  var state: UInt64
  mutating func below(_ n: Int) -> Int {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Int(state >> 33) % n
  }
}

/// Digits in a shaky hand: one dot in sixteen is wrong, and all are smudged.
func drawings(_ labels: [Int], _ n: Int, seed: UInt64) throws -> (batch: Batch, labels: [Int32]) {
  var chance = Chance(state: seed)
  var (dots, which): ([Float], [Int32]) = ([], [])
  for _ in 0..<n {
    let label = labels[chance.below(labels.count)]
    which.append(Int32(label))
    for dot in glyphs[label] {
      let ink = (dot == "#") != (chance.below(16) == 0)
      dots.append((ink ? 1 : -1) + Float(chance.below(1001) - 500) / 1000)
    }
  }
  return (try Batch(rows: n, length: 1, vectors: dots, labels: which), which)
}

/// The share of the drawings that a session recognises.
func share(_ session: Session, _ drawn: (batch: Batch, labels: [Int32])) throws -> Double {
  let answers = try session.predict(drawn.batch)
  let right = drawn.labels.enumerated().count { row, label in
    let answer = Array(answers[row: row])
    return answer.indices.max { answer[$0] < answer[$1] } == Int(label)
  }
  return Double(right) / Double(drawn.labels.count)
}

let (old, new) = (try drawings([0, 1, 2], 200, seed: 1), try drawings([3, 4], 200, seed: 2))

func told(_ what: String, _ session: Session) throws -> (old: Double, new: Double) {
  let shares = (old: try share(session, old), new: try share(session, new))
  print("\(what): \(try session.info.outputs) labels, 0 1 2 \(shares.old), 3 4 \(shares.new)")
  return shares
}

func require(_ condition: Bool, _ what: String) {
  guard condition else { fatalError(what) }
}

let model = try Model(
  Configuration([
    "kind": "cms", "task": "classify", "inputs": 35, "classes": 3, "d_model": 32,
    "cms": ["levels": [["chunk": 8, "hidden": 32], ["chunk": 64, "hidden": 32]]],
  ]),
  seed: 1, in: Context())
let weights = try model.parameters
let session = try Session(model, learn: .on)
_ = try told("before", session)

// Teaching learns each drawing once. What it returns is how well each was known before that.
let first = try session.teach(drawings([0, 1, 2], 300, seed: 3).batch)
let taught = try told("taught 0, 1, 2", session)

// Two more labels arrive: the head grows by a row for each, and what it does not see it forgets.
try session.teach(drawings([3, 4], 300, seed: 4).batch)
let forgot = try told("taught 3, 4, nothing of 0, 1, 2", session)

// Some of everything brings it back.
try session.teach(drawings([0, 1, 2, 3, 4], 100, seed: 5).batch)
let reminded = try told("reminded by 20 of each", session)

for level in try session.levels {
  // The head is a level of its own, after those of the blocks.
  let isHead = try level.layer == model.info.layers
  print(
    "  \(isHead ? "head" : "level \(level.level), chunk \(level.chunk)"): \(level.updates) updates,",
    "moved by \((level.deltaNorm * 1000).rounded() / 1000)")
}

require(first.accuracy > 0.7 && taught.old > 0.9 && taught.new == 0, "it was not taught")
require(try session.info.outputs == 5 && forgot.new > 0.9, "the new labels were not learnt")
require(forgot.old < taught.old && reminded.old > forgot.old, "it was not reminded")
require(min(reminded.old, reminded.new) > 0.8, "it does not know them all")
require(try model.parameters == weights, "the model has changed")
