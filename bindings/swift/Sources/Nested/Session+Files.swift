internal import CNested

extension Session {
  /// Reads a session that ``save(to:delta:sync:run:)`` wrote. On the same weights it goes on bit
  /// for bit. Of a delta the result is a fresh stream, in the saved mode and with the saved seed,
  /// whose levels have learnt.
  ///
  /// - Parameters:
  ///   - path: Passed to the system unchanged.
  ///   - model: The model that it was a stream of, or one of the same configuration.
  ///   - run: Progress in bytes, stage "load".
  /// - Throws: ``Status/io`` with errno; ``Status/corrupt``; ``Status/mismatch`` for a model of
  ///   another configuration (place "nested.fingerprint"), or a delta and other weights (place
  ///   "nested.weights").
  public init(
    contentsOf path: String, model: Model, run: Run = Run()
  ) throws(NestedError) {
    let path = try cText(path, place: "path")
    self.model = model
    handle = try unsafe model.handle.making(nested_session_release, run: run) { model, run, out in
      unsafe nested_session_load(model, path, run, out)
    }
  }

  /// Writes the session into one safetensors file; a crash leaves the old file or the new one,
  /// never half of one.
  ///
  /// - Parameters:
  ///   - path: Passed to the system unchanged.
  ///   - delta: Only what the CMS levels have learnt: small, for any machine that has the model.
  ///   - sync: Whether to wait for the disk before the old file is replaced.
  ///   - run: Progress in bytes, stage "save".
  /// - Throws: ``Status/io`` with errno.
  public func save(
    to path: String, delta: Bool = false, sync: Bool = true, run: Run = Run()
  ) throws(NestedError) {
    let path = try cText(path, place: "path")
    try unsafe run.call { run in
      unsafe handle.use {
        unsafe nested_session_save($0, path, saveFlags(sync: sync, delta: delta), run)
      }
    }
  }
}
