/// What the attention of one head of one sequence reads and writes: `rows` queries, the first at `position`. A query at t sees
/// the `keysPerQuery` keys of every token up to its own.
public struct AttentionPart: Sendable {
  public let d: Int
  /// Tokens that a query sees, its own the last; 0 = all.
  public let window: Int
  public let scale: Float
  public let position: Int, rows: Int
  public let q: Floats, o: Floats  // [rows, stride], d of each row
  public let stride: Int
  public let lse: Floats  // [rows, lseStride], one of each row
  public let lseStride: Int
  /// Row j is the key number first + j, up to the last query's own.
  public let k: Floats, v: Floats  // [.., kvStride], d of each row
  public let kvStride: Int, first: Int, keysPerQuery: Int
  /// Keys and values that every query sees besides.
  public let persistent: Int
  public let persistentK: Floats, persistentV: Floats  // [persistent, persistentStride], d of each row
  public let persistentStride: Int

  @inlinable
  public init(
    d: Int, window: Int, scale: Float, position: Int, rows: Int, q: Floats, o: Floats, stride: Int,
    lse: Floats, lseStride: Int, k: Floats, v: Floats, kvStride: Int, first: Int, keysPerQuery: Int,
    persistent: Int, persistentK: Floats, persistentV: Floats, persistentStride: Int
  ) {
    (self.persistent, self.persistentStride) = (persistent, persistentStride)
    (self.persistentK, self.persistentV) = (persistentK, persistentV)
    (self.d, self.window, self.scale, self.position, self.rows) = (d, window, scale, position, rows)
    (self.q, self.o, self.stride, self.lse, self.lseStride) = (q, o, stride, lse, lseStride)
    (self.k, self.v, self.kvStride, self.first, self.keysPerQuery) = (k, v, kvStride, first, keysPerQuery)
  }
}

/// Where the gradients of an `AttentionPart` go: dq laid out like q; dk and dv for the keys of the part's own rows.
public struct AttentionGradients: Sendable {
  public let dO: Floats, dq: Floats  // [rows, stride]
  public let dk: Floats, dv: Floats  // [rows, dkStride]
  public let dkStride: Int
  /// For the persistent keys and values; laid out like them.
  public let dPersistentK: Floats, dPersistentV: Floats

  @inlinable
  public init(
    dO: Floats, dq: Floats, dk: Floats, dv: Floats, dkStride: Int, dPersistentK: Floats, dPersistentV: Floats
  ) {
    (self.dO, self.dq, self.dk, self.dv, self.dkStride) = (dO, dq, dk, dv, dkStride)
    (self.dPersistentK, self.dPersistentV) = (dPersistentK, dPersistentV)
  }
}
