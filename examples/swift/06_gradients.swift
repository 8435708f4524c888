// 06: gradients out and in. Two workers with equal weights each read half of every batch, add up their gradients, and stay
// equal: data-parallel training by hand.
//
// New here: accumulate(), gradient, setGradient(), apply(), setAllReduce(), clone(), parameters, tensors.
//
//     swift run 06_gradients
import Foundation
import Nested

let text = Array("the quick brown fox jumps over the lazy dog. ".utf8)

/// 8 rows of 32 bytes, others for every step.
func rows(_ step: Int) -> [[UInt8]] {
  (0..<8).map { row in (0..<32).map { text[($0 + row * 5 + step * 7) % text.count] } }
}

let context = try Context()
let whole = try Model(
  Configuration(["vocab": 256, "d_model": 64, "n_layers": 2]), seed: 3, in: context)
let workers = try [whole.clone(), whole.clone()]
let options = Trainer.Options(learningRate: 1e-2, schedule: .constant)
let alone = try Trainer(whole, options: options)
let trainers = try workers.map { try Trainer($0, options: options) }

func check() throws {
  let (a, b, c) = (try workers[0].parameters, try workers[1].parameters, try whole.parameters)
  let largest = zip(a, c).map { abs($0 - $1) }.max() ?? 0
  print(
    "the workers' weights are the same bits: \(a == b); from one trainer on the whole batch",
    "they differ by \(largest) at most")
  guard a == b && largest < 2e-3 else { fatalError("the workers disagree") }
}

// By hand: take the gradients out, add them up, put the sum into both.
for step in 0..<3 {
  let batch = rows(step)
  try trainers[0].accumulate(Batch(Array(batch[..<4])))
  try trainers[1].accumulate(Batch(Array(batch[4...])))
  var sum = try trainers[0].gradient
  try sum.add(trainers[1].gradient)
  if step == 0 {
    // The flat gradient is in the order of the tensors.
    let norms = try whole.tensors.map { tensor in
      let part = sum.values[tensor.flatOffset..<tensor.flatOffset + tensor.count]
      return (name: tensor.name, norm: part.reduce(0) { $0 + $1 * $1 }.squareRoot())
    }
    if let most = norms.max(by: { $0.norm < $1.norm }) {
      print(
        "\(sum.values.count) numbers over \(sum.targets) targets; most of it is in \(most.name)")
    }
  }
  for trainer in trainers {
    try trainer.setGradient(sum)
    try trainer.apply()
  }
  let result = try alone.step(Batch(batch))
  print("step \(result.step), loss \(result.loss)")
}
try check()

/// The same by a hook, which step() calls with each piece of the gradient. Here the workers are threads
/// that meet in memory; elsewhere this is MPI_Allreduce.
final class Meeting: @unchecked Sendable {
  private let condition = NSCondition()
  private var brought: [Double] = []
  private var sum: [Double] = []
  private var present = 0
  private var round = 0

  /// Waits for the other worker, and returns what both brought together.
  func sum(_ values: [Double]) -> [Double] {
    condition.withLock {
      let mine = round
      present += 1
      if present == 1 {
        brought = values
        while round == mine { condition.wait() }
      } else {
        sum = zip(brought, values).map { $0 + $1 }
        present = 0
        round += 1
        condition.broadcast()
      }
      return sum
    }
  }
}

let meeting = Meeting()
for trainer in trainers {
  try trainer.setAllReduce(
    AllReduce { [meeting] bucket in
      let sum = meeting.sum(bucket.indices.map { Double(bucket[$0]) })
      for index in bucket.indices { bucket[index] = Float(sum[index]) }
    } targets: { [meeting] targets in
      targets = meeting.sum([targets])[0]
    })
}
let batch = rows(3)
let halves = try [Batch(Array(batch[..<4])), Batch(Array(batch[4...]))]
let done = DispatchSemaphore(value: 0)
let threads = zip(trainers, halves).map { trainer, half in
  Thread {
    do { try trainer.step(half) } catch { fatalError("\(error)") }
    done.signal()
  }
}
for thread in threads { thread.start() }
for _ in threads { done.wait() }
try alone.step(Batch(batch))
try check()
