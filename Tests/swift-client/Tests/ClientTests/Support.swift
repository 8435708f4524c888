import Foundation
import Nested
import Testing

/// What a call throws, or a failed test.
func failure<Result>(
  _ body: () throws -> Result, sourceLocation: SourceLocation = #_sourceLocation
) throws -> NestedError {
  try #require(
    throws: NestedError.self, sourceLocation: sourceLocation, performing: { _ = try body() })
}

/// Thrown by closures of the tests.
struct Planted: Error, Equatable {
  let number: Int
}

let description: JSON = [
  "kind": "hope", "vocab": 256, "d_model": 32, "n_layers": 2, "head_dim": 16, "segment": 16,
  "cms": [
    "levels": [
      ["chunk": 8, "hidden": 32, "lr": 0.05], ["chunk": 32, "hidden": 32, "lr": 0.02],
      ["chunk": 0, "hidden": 32],
    ]
  ],
]

func makeModel(seed: UInt64 = 1, threads: Int = 1, log: Log? = nil) throws -> Model {
  try Model(Configuration(description), seed: seed, in: Context(threads: threads, log: log))
}

/// `count` bytes of a text with something to learn in it.
func text(_ count: Int, _ phrase: String = "the quick brown fox. ") -> [UInt8] {
  let bytes = Array(phrase.utf8)
  return (0..<count).map { bytes[$0 % bytes.count] }
}

let steady = Trainer.Options(learningRate: 1e-2, schedule: .constant)

/// A folder that is gone after `body`.
func withFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
  let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
  try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
  defer { try? FileManager.default.removeItem(at: folder) }
  return try body(folder.path(percentEncoded: false) + "/")
}

/// Written by closures that run on several threads.
final class Box<Value: Sendable>: @unchecked Sendable {
  private let lock = NSLock()
  private var stored: Value
  init(_ value: Value) { stored = value }
  var value: Value { lock.withLock { stored } }
  func change(_ body: (inout Value) -> Void) { lock.withLock { body(&stored) } }
}
