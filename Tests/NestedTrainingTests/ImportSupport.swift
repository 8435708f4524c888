import Foundation
import NestedBase
import NestedCheckpoint
import NestedModels
import NestedTensor

/// A checkpoint that transformers saved (Tests/peers/llama.py), and what it computes with it.
struct LlamaFixture: Decodable {
  var tokens: [Int]
  var logits: [Float]  // [T, V]
  var prompt: Int  // the first tokens, from which the greedy ones go on
  var greedy: [Int]

  static let names = ["tied", "grouped", "llama3", "linear", "sharded"]
  static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "peers/fixtures/llama")

  init(_ name: String) throws {
    let file = Self.root.appending(path: "\(name)/expected.json")
    self = try JSONDecoder().decode(Self.self, from: Data(contentsOf: file))
  }
}

/// A copy of a checkpoint to change, removed with the object.
final class CheckpointCopy {
  let url: URL

  init(of name: String) throws {
    url = FileManager.default.temporaryDirectory.appending(path: "nested-\(UUID().uuidString)")
    try FileManager.default.copyItem(at: LlamaFixture.root.appending(path: name), to: url)
  }
  deinit { try? FileManager.default.removeItem(at: url) }

  var path: FilePath { get throws { try FilePath(url.path) } }

  func text(_ file: String) throws -> String {
    String(decoding: try Data(contentsOf: url.appending(path: file)), as: UTF8.self)
  }
  func write(_ text: String, to file: String) throws {
    try Data(text.utf8).write(to: url.appending(path: file))
  }
  func replace(_ old: String, by new: String, in file: String = "config.json") throws {
    let text = try text(file)
    precondition(text.contains(old), "\(file) has no \(old)")
    try write(text.replacingOccurrences(of: old, with: new), to: file)
  }
  func remove(_ file: String) throws { try FileManager.default.removeItem(at: url.appending(path: file)) }

  /// Rewrites a file of tensors, each as `change` gives it back; nil leaves it out. Element type F32 unless `element` says
  /// another. `more` is added.
  func rewrite(
    _ file: String = "model.safetensors", more: [String: [Int]] = [:], int32: Set<String> = [],
    change: (_ name: String, _ shape: inout [Int], _ values: inout [Float]) -> Bool = { _, _, _ in true }
  ) throws {
    let path = url.appending(path: file).path
    let old = try SafetensorsFile(path: path)
    var writer = SafetensorsWriter(FileIdentity("foreign", version: 1))
    var kept: [UnsafeMutablePointer<Float>] = []
    defer { for pointer in kept { pointer.deallocate() } }
    func add(_ name: String, _ shape: [Int], _ values: [Float]) throws {
      if int32.contains(name) { return try writer.add(name, shape: shape, values.map { Int32($0) }) }
      let pointer = UnsafeMutablePointer<Float>.allocate(capacity: max(1, values.count))
      for (i, value) in values.enumerated() { (pointer + i).initialize(to: value) }
      kept.append(pointer)
      try writer.add(name, shape: shape, Floats(pointer), count: values.count)
    }
    for record in old.records {
      var (shape, values) = (record.shape, try old.floats(record.name, atMost: 1 << 20))
      if change(record.name, &shape, &values) { try add(record.name, shape, values) }
    }
    for (name, shape) in more.sorted(by: { $0.key < $1.key }) {
      try add(name, shape, [Float](repeating: 0.5, count: shape.reduce(1, *)))
    }
    try writer.write(to: FilePath(path))
  }
}
