// 05: watch a long call, stop it from elsewhere, and read its errors; what failed is as it was.
//
// New here: Run with progress and cancellation, Cancellation (raised by another task and by a signal handler), NestedError
// with its status, place, offset, committed and underlying.
//
//     swift run 05_cancel_progress_errors
import Foundation
import Nested

/// The call has to fail like this. Prints what the library says.
@discardableResult
func expect(_ status: Status, _ body: () throws -> Void) -> NestedError {
  do {
    try body()
  } catch let error as NestedError where error.status == status {
    print("  \(error)")
    return error
  } catch {
    fatalError("wanted \(status), got \(error)")
  }
  fatalError("wanted \(status), and nothing failed")
}

struct Impatient: Error {}

func short(_ value: Double) -> Double { (value * 1000).rounded() / 1000 }

let text = Array(
  String(repeating: "the quick brown fox jumps over the lazy dog. ", count: 9000).utf8)
let context = try Context()
let model = try Model(
  Configuration(["vocab": 256, "d_model": 64, "n_layers": 2]), seed: 1, in: context)

print("a progress closure stops the training after five steps:")
let stopped = expect(.cancelled) {
  try Trainer(model).fit(
    text, steps: 100_000, batch: 4, length: 32,
    run: Run { progress in
      print("  step \(progress.done) of \(progress.total), loss \(short(progress.loss))")
      return progress.done < 5 ? .continue : .stop
    })
}
print("  \(stopped.committed ?? 0) steps were made, and stay")
guard stopped.committed == 5 else { fatalError("five steps") }

let session = try Session(model)
/// What the session has not read.
func rest() throws -> ArraySlice<UInt8> { try text[session.info.position...] }

print("what a closure throws comes out of the call:")
let thrown = expect(.callback) {
  try session.feed(rest(), run: Run { if $0.done > 0 { throw Impatient() } else { .continue } })
}
guard thrown.underlying is Impatient else { fatalError("another error") }

print("another task stops a session that reads \(text.count) bytes:")
let stop = try Cancellation()
expect(.cancelled) {
  var isTold = false
  try session.feed(
    rest(),
    run: Run(cancellation: stop) { progress in
      if progress.done > 0 && !isTold {
        isTold = true
        Task.detached { [stop] in stop.raise() }
      }
      return .continue
    })
}

print("Ctrl-C stops it too:")
stop.clear()
// A handler may use what is there already, and raise() takes no lock and no memory.
signal(SIGINT) { _ in stop.raise() }
expect(.cancelled) {
  try session.feed(
    rest(),
    run: Run(cancellation: stop) { progress in
      if progress.done > 0 { kill(getpid(), SIGINT) }
      return .continue
    })
}

// What was read is a clean prefix: a session that reads just that says the same.
let position = try session.info.position
let twin = try Session(model)
try twin.feed(text[..<position])

print("errors say what and where:")
expect(.configuration) { _ = try Configuration(["vocab": 256, "d_modell": 64]) }
expect(.parse) { _ = try Configuration(json: #"{"vocab": }"#) }
expect(.range) { try session.feed([97, 98, 256]) }
expect(.io) { _ = try Model(contentsOf: "missing.safetensors", in: context) }

// And leave everything as it was.
guard try session.output == twin.output else { fatalError("a failed call changed the session") }
print("after all that the session says what one says that read \(position) bytes in peace")
