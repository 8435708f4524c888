internal import CNested

/// A frozen copy of a session's state.
public struct Snapshot: Sendable {
  let handle: Handle

  init(_ handle: Handle) { self.handle = handle }

  /// Reads what ``bytes(delta:)`` or ``Session/save(to:delta:sync:run:)`` wrote, for a model of the
  /// same configuration. Of a delta the result is a fresh stream whose levels have learnt.
  ///
  /// - Throws: ``Status/corrupt``; ``Status/mismatch`` for a model of another configuration (place
  ///   "nested.fingerprint"), or a delta and other weights (place "nested.weights").
  public init(bytes: [UInt8], model: Model) throws(NestedError) {
    handle = try unsafe model.handle.making(nested_snapshot_release) {
      unsafe nested_snapshot_from_bytes($0, bytes, bytes.count, $1)
    }
  }

  /// The bytes that ``Session/save(to:delta:sync:run:)`` would write.
  ///
  /// - Parameter delta: Only what the CMS levels have learnt.
  public func bytes(delta: Bool = false) throws(NestedError) -> [UInt8] {
    try unsafe handle.bytes {
      delta
        ? unsafe nested_snapshot_delta_to_blob($0, $1) : unsafe nested_snapshot_to_blob($0, $1)
    }
  }
}

extension Session {
  /// A frozen copy of the state, for ``restore(_:)``.
  public func snapshot() throws(NestedError) -> Snapshot {
    Snapshot(
      try unsafe handle.making(nested_snapshot_release) { unsafe nested_session_snapshot($0, $1) })
  }

  /// Goes to a snapshot's state, its mode and seed included.
  ///
  /// - Throws: ``Status/mismatch`` for a snapshot of another configuration.
  public func restore(_ snapshot: Snapshot) throws(NestedError) {
    try check(
      unsafe handle.use { session in
        unsafe snapshot.handle.use { unsafe nested_session_restore(session, $0) }
      })
  }
}
