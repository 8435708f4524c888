package import NestedBase
package import NestedCheckpoint
package import NestedTensor

/// Weights and the configuration they belong to.
///
/// The weights are one flat float32 storage in layout order. Readers (sessions, evaluation, a trainer's forward and
/// backward pass) share them under a read lock; a change happens under the write lock, in place if nobody else holds
/// the storage, else in a copy; weights that are mapped from a file are always copied. `version` counts the changes.
package final class Model: @unchecked Sendable {
  package let runtime: Runtime
  package let configuration: ModelConfiguration
  package let layout: ParameterLayout
  package let network: Network

  private let lock = ReadWriteLock()
  private var weights: Storage
  private var changes: UInt64 = 0
  /// Parameters with their panels for `linear`, of the weights' present version.
  private let panelLock = Mutex()
  private var panels: Panels?

  private struct Panels {
    let version: UInt64
    let parameters: Parameters
  }

  /// Initial weights from the seed (SPEC 2).
  package convenience init(
    runtime: Runtime, configuration: ModelConfiguration, seed: UInt64
  ) throws(NestedError) {
    try configuration.validate()
    let layout = ParameterLayout(configuration)
    let weights = try Storage(count: layout.count, budget: runtime.budget)
    runtime.threads.parallel(layout.entries.count) {
      layout.initialize($0, weights.floats, seed: seed)
    }
    self.init(runtime, configuration, layout, weights)
  }

  private init(
    _ runtime: Runtime, _ configuration: ModelConfiguration, _ layout: ParameterLayout, _ weights: Storage
  ) {
    self.runtime = runtime
    self.configuration = configuration
    self.layout = layout
    self.weights = weights
    network = Network(configuration, layout)
  }

  package var version: UInt64 { lock.withReadLock { changes } }

  /// An independent model with the same weights; they are copied when one of the two changes.
  package func clone() throws(NestedError) -> Model {
    lock.withReadLock { Model(runtime, configuration, layout, weights) }
  }

  // MARK: Access

  /// The flat weights, steady while `body` runs.
  package func withWeights<R>(_ body: (Floats) throws(NestedError) -> R) throws(NestedError) -> R {
    try lock.withReadLock { () throws(NestedError) in try body(weights.floats) }
  }
  package func withWeights<R>(_ body: (Floats) -> R) -> R {
    lock.withReadLock { body(weights.floats) }
  }

  /// The flat weights for change; counts as one change, also when `body` throws.
  package func withMutableWeights<R>(
    _ body: (Floats) throws(NestedError) -> R
  ) throws(NestedError) -> R {
    try lock.withWriteLock { () throws(NestedError) in
      panelLock.withLock { panels = nil }
      if weights.isMapped || !isKnownUniquelyReferenced(&weights) { weights = try weights.copy() }
      changes += 1
      return try body(weights.floats)
    }
  }

  /// The weights as tensors, with the panels that a forward pass of few rows reads; steady while `body` runs.
  package func withParameters<R>(
    _ body: (_ parameters: Parameters, _ version: UInt64) throws(NestedError) -> R
  ) throws(NestedError) -> R {
    try lock.withReadLock { () throws(NestedError) in
      let parameters = try panelLock.withLock { () throws(NestedError) -> Parameters in
        if let panels, panels.version == changes { return panels.parameters }
        let packed = try packedParameters()
        panels = Panels(version: changes, parameters: packed)
        return packed
      }
      return try body(parameters, changes)
    }
  }

  /// The weights as tensors without panels; for use inside `withWeights`.
  package func storageParameters() -> Parameters { Parameters(layout, weights) }

  private func packedParameters() throws(NestedError) -> Parameters {
    var parameters = Parameters(layout, weights)
    if weights.isMapped { return parameters }  // panels would be the copy that mapping saves
    let engine = try runtime.checkOut()
    defer { runtime.checkIn(engine) }
    for (i, entry) in layout.entries.enumerated() where entry.isLinear {
      if entry.name == "embed.weight" && !configuration.tieEmbeddings { continue }
      var tensor = parameters[i]
      let storage = try Storage(count: engine.packedCount(tensor.shape), budget: runtime.budget)
      engine.pack(tensor, into: storage.floats)
      tensor.packed = storage
      parameters[i] = tensor
    }
    return parameters
  }

  // MARK: Evaluation: every row a fresh stream at position 0

  /// logits [B, T, V]
  package func logits(
    tokens: Tokens, batch: Int, length: Int, into logits: Floats, control: RunControl
  ) throws(NestedError) {
    let vocab = configuration.vocab
    try forEachRow(batch, length, control, "forward") { (engine, parameters, row) throws(NestedError) in
      let result = try network.logits(
        engine, parameters, tokens: tokens + row * length, batch: 1, length: length)
      (logits + row * length * vocab).copy(from: result.floats, count: length * vocab)
    }
  }

  /// Σ weight · nll and the number of targets. `targets` [B, T] (negative: none), nil: each row's next tokens;
  /// `weights` [B, T] or nil.
  package func evaluate(
    tokens: Tokens, targets: Tokens?, batch: Int, length: Int, weights: Floats?, control: RunControl
  ) throws(NestedError) -> (lossSum: Double, targets: Double) {
    var sum = 0.0
    var count = 0.0
    try forEachRow(batch, length, control, "evaluate") { (engine, parameters, row) throws(NestedError) in
      let at = row * length
      let result = try network.logits(engine, parameters, tokens: tokens + at, batch: 1, length: length)
      let shifted = TargetRows(tokens + at, targets.map { $0 + at }, batch: 1, length: length)
      let weights = weights.map { $0 + at }
      sum += try shifted.withTokens { (targets: Tokens) throws(NestedError) in
        try engine.crossEntropy(result, targets, weights: weights).sum
      }
      count += shifted.count(weights)
    }
    return (sum, count)
  }

  private func forEachRow(
    _ batch: Int, _ length: Int, _ control: RunControl, _ stage: StaticString,
    _ body: (Engine, Parameters, Int) throws(NestedError) -> Void
  ) throws(NestedError) {
    let engine = try runtime.checkOut()
    defer { runtime.checkIn(engine) }
    try withParameters { (parameters, _) throws(NestedError) in
      for row in 0..<batch {
        try control.report(stage, row * length, batch * length, .nan)
        try body(engine, parameters, row)
      }
      try control.report(stage, batch * length, batch * length, .nan)
    }
  }

  // MARK: Files

  private static let identity = FileIdentity("model", version: 1)
  private static let configurationKey = "nested.config"

  private func writer(_ weights: Floats) throws(NestedError) -> SafetensorsWriter {
    var writer = SafetensorsWriter(
      Model.identity, metadata: [(Model.configurationKey, configuration.canonicalJSON)])
    for entry in layout.entries {
      try writer.add(entry.name, shape: entry.shape, weights + entry.offset, count: entry.count)
    }
    return writer
  }

  /// Writes the weights under their names, with the configuration in the metadata.
  package func save(path: FilePath, sync: Bool = true, control: RunControl) throws(NestedError) {
    try withWeights { (weights: Floats) throws(NestedError) in
      try writer(weights).write(to: path, sync: sync) { done, total throws(NestedError) in
        try control.report("save", done, total, .nan)
      }
    }
  }

  package func bytes() throws(NestedError) -> [UInt8] {
    try withWeights { (weights: Floats) throws(NestedError) in try writer(weights).bytes() }
  }

  /// Which weights these are: the hash of all of them, in layout order, as text.
  package var weightsHash: String {
    withWeights { (weights: Floats) in
      var hash = XXH64()
      hash.update(unsafe RawSpan(_unsafeStart: weights.pointer, byteCount: 4 * layout.count))
      return hash.text
    }
  }

  package static func load(
    runtime: Runtime, path: FilePath, mapped: Bool = false, control: RunControl
  ) throws(NestedError) -> Model {
    try control.report("load", 0, 1, .nan)
    let model = try Model(runtime, try SafetensorsFile(path: path), mapped: mapped)
    try control.report("load", 1, 1, .nan)
    return model
  }

  package static func load(runtime: Runtime, bytes: [UInt8]) throws(NestedError) -> Model {
    try Model(runtime, try SafetensorsFile(bytes: bytes), mapped: false)
  }

  private convenience init(_ runtime: Runtime, _ file: SafetensorsFile, mapped: Bool) throws(NestedError) {
    try file.identify(as: Model.identity)
    guard let json = file.metadata(Model.configurationKey) else {
      throw NestedError(.corrupt, "the file has no \(Model.configurationKey)", place: "__metadata__")
    }
    let configuration: ModelConfiguration
    do throws(NestedError) {
      configuration = try ModelConfiguration(json: json)
      try configuration.validate()
    } catch {
      throw NestedError(
        error.code == .unsupported ? .unsupported : .corrupt,
        "the file's configuration is not valid: \(error.message)", place: error.place)
    }
    let layout = ParameterLayout(configuration)
    guard file.records.count == layout.entries.count else {
      throw NestedError(
        .corrupt,
        "the file holds \(file.records.count) tensors, its configuration has \(layout.entries.count)")
    }
    // All there before memory is taken: a small file must not decide a large allocation.
    var records: [TensorRecord] = []
    for entry in layout.entries {
      records.append(try file.record(named: entry.name, shape: entry.shape))
    }
    if mapped {
      let map = try file.mapped(records)
      let weights = Storage(mapped: map.floats, count: layout.count, owner: map, budget: runtime.budget)
      self.init(runtime, configuration, layout, weights)
      return
    }
    try file.verifyChecksum()
    let weights = try Storage(count: layout.count, budget: runtime.budget)
    for (entry, record) in zip(layout.entries, records) {
      try file.readFloats(record, into: weights.floats + entry.offset)
    }
    self.init(runtime, configuration, layout, weights)
  }
}
