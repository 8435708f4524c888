internal import CNested

extension Model {
  /// Reads a safetensors file that ``save(to:sync:run:)`` wrote.
  ///
  /// - Parameters:
  ///   - path: Passed to the system unchanged.
  ///   - context: What the model computes with.
  ///   - mapped: Whether to map the file instead of copying it: weights are read when they are
  ///     used, processes share the memory, and nothing is checked but the header. The file must stay
  ///     as it is while the model lives. A change of the weights copies them first.
  ///   - run: Progress in bytes, stage "load".
  /// - Throws: ``Status/io`` with errno, ``Status/corrupt``, ``Status/numeric`` for values that are
  ///   not finite, ``Status/version``; ``Status/unsupported`` for a file that cannot be mapped.
  public init(
    contentsOf path: String, mapped: Bool = false, in context: Context, run: Run = Run()
  ) throws(NestedError) {
    let path = try cText(path, place: "path")
    let flags = UInt32(mapped ? NESTED_LOAD_MMAP : 0)
    handle = try unsafe context.handle.making(nested_model_release, run: run) { context, run, out in
      unsafe nested_model_load(context, path, flags, run, out)
    }
  }

  /// Reads what ``bytes`` gave.
  ///
  /// - Throws: ``Status/corrupt``, ``Status/numeric``, ``Status/version``.
  public init(bytes: [UInt8], in context: Context) throws(NestedError) {
    handle = try unsafe context.handle.making(nested_model_release) { context, out in
      unsafe nested_model_load_bytes(context, bytes, bytes.count, 0, out)
    }
  }

  /// Writes a safetensors file; a crash leaves the old file or the new one, never half of one.
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
    try unsafe run.call { run in
      unsafe handle.use { unsafe nested_model_save($0, path, saveFlags(sync: sync), run) }
    }
  }

  /// The bytes that ``save(to:sync:run:)`` would write.
  public var bytes: [UInt8] {
    get throws(NestedError) {
      try unsafe handle.bytes { unsafe nested_model_save_blob($0, 0, $1) }
    }
  }
}

/// `NESTED_SAVE_*`.
func saveFlags(sync: Bool, delta: Bool = false) -> UInt32 {
  UInt32((sync ? 0 : NESTED_SAVE_NO_SYNC) | (delta ? NESTED_SAVE_DELTA : 0))
}
