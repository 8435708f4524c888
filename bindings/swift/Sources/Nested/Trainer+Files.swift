internal import CNested

extension Trainer {
  /// Writes everything but the weights (``Model/save(to:sync:run:)``): options, optimizer state,
  /// counts, collected gradient. A trainer made for the saved model and loaded from the file goes
  /// on bit for bit.
  ///
  /// - Parameters:
  ///   - path: Passed to the system unchanged.
  ///   - sync: Whether to wait for the disk before the old file is replaced.
  ///   - run: Progress in bytes, stage "save".
  /// - Throws: ``Status/io`` with errno.
  public func save(
    to path: String, sync: Bool = true, run: Run = Run()
  ) throws(NestedError) {
    let path = try cText(path, place: "path")
    try unsafe core.call(run) { trainer, run in
      unsafe nested_trainer_save(trainer, path, saveFlags(sync: sync), run)
    }
  }

  /// Goes on where a saved trainer was, with its options.
  ///
  /// - Throws: ``Status/io`` with errno; ``Status/corrupt``; ``Status/mismatch`` for a file of
  ///   another configuration.
  public func load(from path: String, run: Run = Run()) throws(NestedError) {
    let path = try cText(path, place: "path")
    try unsafe core.call(run) { unsafe nested_trainer_load($0, path, $1) }
  }
}
