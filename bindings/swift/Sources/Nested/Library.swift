internal import CNested

/// The library itself: version, build, and what is alive.
public enum Library {
  /// For example "1.0.0".
  public static var version: String { unsafe String(cString: nested_version_string()) }

  /// The number in the soname, libnested.so.1; within one, things are only added.
  public static var abi: Int { Int(nested_abi()) }

  /// A JSON object: version, abi, compiler, simd (the kernel class in use), blas, json, features,
  /// licences.
  public static var buildInformation: String { unsafe String(cString: nested_build_info()) }

  /// Whether the build has a feature that ``buildInformation`` lists: "optim.adamw".
  public static func hasFeature(_ name: String) -> Bool {
    unsafe !name.utf8.contains(0) && nested_has_feature(name) != 0
  }

  /// JSON Schema of ``Configuration``, with defaults, ranges and help.
  public static var configurationSchema: String { unsafe String(cString: nested_config_schema()) }

  /// JSON Schema of what ``Trainer/Options`` stands for.
  public static var trainerSchema: String { unsafe String(cString: nested_trainer_schema()) }

  /// Objects alive in the process, for tests of leaks.
  public static func liveObjects(_ kind: ObjectKind = .any) -> Int {
    Int(nested_live_handles(kind.constant))
  }

  /// The kinds that ``liveObjects(_:)`` counts.
  public enum ObjectKind: Sendable, CaseIterable {
    /// All of them.
    case any
    /// ``Context``
    case context
    /// ``Configuration``
    case configuration
    /// ``Model``
    case model
    /// ``Trainer``
    case trainer
    /// ``Session``
    case session
    /// ``Snapshot``
    case snapshot
    /// ``Cancellation``
    case cancellation
    /// Bytes on their way out of the library; none between calls.
    case blob

    var constant: Int32 {
      let constant =
        switch self {
        case .any: NESTED_HANDLE_ANY
        case .context: NESTED_HANDLE_CONTEXT
        case .configuration: NESTED_HANDLE_CONFIG
        case .model: NESTED_HANDLE_MODEL
        case .trainer: NESTED_HANDLE_TRAINER
        case .session: NESTED_HANDLE_SESSION
        case .snapshot: NESTED_HANDLE_SNAPSHOT
        case .cancellation: NESTED_HANDLE_CANCEL
        case .blob: NESTED_HANDLE_BLOB
        }
      return Int32(truncatingIfNeeded: constant)
    }
  }
}
