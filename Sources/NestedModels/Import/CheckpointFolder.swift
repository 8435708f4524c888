internal import NestedBase
internal import NestedCheckpoint

/// A folder as transformers' `save_pretrained` leaves it: config.json, and the tensors in model.safetensors or in the
/// files that model.safetensors.index.json names. The files stay open and are read tensor by tensor.
struct CheckpointFolder {
  /// Every tensor with the file it is in, in the order of the names' bytes.
  private let tensors: [(record: TensorRecord, file: SafetensorsFile)]

  private static let single = "model.safetensors"
  private static let index = "model.safetensors.index.json"

  static func configuration(of folder: FilePath) throws(NestedError) -> JSONValue {
    let text = try folder.child("config.json").contents(atMost: 1 << 20)
    return try parsing("config.json") { () throws(NestedError) in try JSONValue.parse(text) }
  }

  init(_ folder: FilePath) throws(NestedError) {
    var tensors: [(record: TensorRecord, file: SafetensorsFile)] = []
    for (file, names) in try CheckpointFolder.files(of: folder) {
      if let names {
        guard names.count == file.records.count, names.allSatisfy({ file.record(named: $0) != nil }) else {
          let odd = names.first { file.record(named: $0) == nil } ?? file.records.first { !names.contains($0.name) }?.name
          throw NestedError(
            .corrupt, "[\(CheckpointFolder.index)] the index and its files do not hold the same tensors",
            place: odd ?? CheckpointFolder.index)
        }
      }
      tensors += file.records.map { ($0, file) }
    }
    self.tensors = tensors.sorted { $0.record.name.precedesInBytes($1.record.name) }
  }

  var names: [String] { tensors.map { $0.record.name } }

  func tensor(_ name: String) -> (record: TensorRecord, file: SafetensorsFile)? {
    var (low, high) = (0, tensors.count)
    while low < high {
      let middle = (low + high) / 2
      if tensors[middle].record.name.precedesInBytes(name) { low = middle + 1 } else { high = middle }
    }
    return low < tensors.count && tensors[low].record.name.isSameBytes(as: name) ? tensors[low] : nil
  }

  /// The files, each with the names of the tensors that the index says it has; nil where there is no index.
  private static func files(of folder: FilePath) throws(NestedError) -> [(SafetensorsFile, Set<String>?)] {
    do throws(NestedError) {
      return [(try SafetensorsFile(path: folder.child(single)), nil)]
    } catch {
      guard error.code == .io, error.osError == SystemCode.notFound else { throw error }
    }
    let text: [UInt8]
    do throws(NestedError) {
      text = try folder.child(index).contents(atMost: SafetensorsFile.maximumHeader)
    } catch {
      guard error.code == .io, error.osError == SystemCode.notFound else { throw error }
      throw NestedError(
        .io, "[import] the folder has neither \(single) nor \(index)", place: folder.text, osError: error.osError)
    }
    let json = try parsing(index) { () throws(NestedError) in
      try JSONValue.parse(text, maximumLength: SafetensorsFile.maximumHeader)
    }
    guard case .object(let entries) = json["weight_map"], !entries.isEmpty else {
      throw NestedError(.corrupt, "[\(index)] expected an object that is not empty", place: "/weight_map")
    }
    var shards: [String] = []  // in the order in which the index first names them
    var names: [String: Set<String>] = [:]
    for entry in entries {
      guard case .string(let shard) = entry.value, isFileName(shard) else {
        throw NestedError(
          .corrupt, "[\(index)] expected the name of a .safetensors file in the same folder, got \(entry.value.summary)",
          place: JSONPointer.appending(entry.key, to: "/weight_map"))
      }
      if names[shard] == nil { shards.append(shard) }
      names[shard, default: []].insert(entry.key)
    }
    var files: [(SafetensorsFile, Set<String>?)] = []
    for shard in shards { files.append((try SafetensorsFile(path: folder.child(shard)), names[shard])) }
    return files
  }

  /// An index comes with the weights, from anywhere: it names files of its own folder and nothing else.
  private static func isFileName(_ text: String) -> Bool {
    let suffix = ".safetensors"
    return text.utf8.count > suffix.utf8.count && text.utf8.count <= 255 && text.hasSuffix(suffix)
      && !text.utf8.contains(UInt8(ascii: "/")) && !text.utf8.contains(0)
  }

  private static func parsing<R>(_ name: String, _ body: () throws(NestedError) -> R) throws(NestedError) -> R {
    do throws(NestedError) { return try body() } catch {
      guard error.code == .parse else { throw error }
      throw NestedError(.parse, "[\(name)] \(error.message)", place: name, offset: error.offset)
    }
  }
}
