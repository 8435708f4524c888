internal import CNested

/// Why a call failed.
///
/// The values are those of `nested_status` and permanent. A newer library may have others, so this
/// is not an enumeration: treat what you do not know as a failure.
public struct Status: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
  /// The number of the C interface, negative.
  public let rawValue: Int32

  /// A status of any number.
  public init(rawValue: Int32) { self.rawValue = rawValue }

  private init(_ constant: Int) { rawValue = Int32(truncatingIfNeeded: constant) }

  /// A bug in libnested; the object is poisoned now.
  public static let `internal` = Status(NESTED_E_INTERNAL)
  /// A value that is never valid.
  public static let argument = Status(NESTED_E_ARGUMENT)
  /// A stale or foreign handle; not seen from Swift.
  public static let handle = Status(NESTED_E_HANDLE)
  /// An index, token id or number is out of range.
  public static let range = Status(NESTED_E_RANGE)
  /// A shape does not match.
  public static let shape = Status(NESTED_E_SHAPE)
  /// An element type is not accepted here.
  public static let elementType = Status(NESTED_E_DTYPE)
  /// Strides or alignment are not accepted here.
  public static let layout = Status(NESTED_E_LAYOUT)
  /// A buffer is too small.
  public static let capacity = Status(NESTED_E_CAPACITY)
  /// An allocation failed.
  public static let outOfMemory = Status(NESTED_E_NOMEM)
  /// The context's memory limit, or the limit of handles.
  public static let limit = Status(NESTED_E_LIMIT)
  /// There is no tensor or key of that name.
  public static let notFound = Status(NESTED_E_NOT_FOUND)
  /// There can be only one, and it is there: a model's second trainer.
  public static let exists = Status(NESTED_E_EXISTS)
  /// Not in this build, on this processor, or for this kind of model.
  public static let unsupported = Status(NESTED_E_UNSUPPORTED)
  /// A file is newer than this library, or this library older than its header.
  public static let version = Status(NESTED_E_VERSION)
  /// The configuration is invalid; ``NestedError/place`` is a JSON pointer.
  public static let configuration = Status(NESTED_E_CONFIG)
  /// A text is malformed; ``NestedError/offset`` is the byte.
  public static let parse = Status(NESTED_E_PARSE)
  /// A file or snapshot fails its checks.
  public static let corrupt = Status(NESTED_E_CORRUPT)
  /// The system refused; ``NestedError/osError`` holds errno.
  public static let io = Status(NESTED_E_IO)
  /// A closure used an object that is busy with the call that runs the closure.
  public static let reentrant = Status(NESTED_E_REENTRANT)
  /// A ``Cancellation`` was raised, or a progress closure said stop.
  public static let cancelled = Status(NESTED_E_CANCELLED)
  /// A closure threw; ``NestedError/underlying`` is what it threw.
  public static let callback = Status(NESTED_E_CALLBACK)
  /// The call is not allowed in the object's state.
  public static let state = Status(NESTED_E_STATE)
  /// NaN or infinity where a finite number is required.
  public static let numeric = Status(NESTED_E_NUMERIC)
  /// Objects of different architecture or weights.
  public static let mismatch = Status(NESTED_E_MISMATCH)
  /// The object was made before a `fork()`.
  public static let forked = Status(NESTED_E_FORKED)
  /// The object saw ``internal`` earlier.
  public static let poisoned = Status(NESTED_E_POISONED)

  /// The name of the C interface: `NESTED_E_SHAPE`.
  public var description: String { unsafe String(cString: nested_status_name(rawValue)) }
}
