import Glibc
import Nested

/// What ends a command: one line for people, one number for programs (sysexits.h).
struct Failure: Error {
  enum Kind: Int32 {
    case usage = 64  // the options do not go together
    case data = 65  // a file or configuration is not what it should be
    case noInput = 66  // an input is not there or may not be read
    case software = 70  // a bug in the library
    case system = 71  // no memory, no thread
    case cannotCreate = 73  // an output may not be written, or is there already
    case io = 74  // reading or writing failed on the way
  }

  let kind: Kind
  let message: String

  init(_ kind: Kind, _ message: String) {
    self.kind = kind
    self.message = message
  }

  /// A system call on a file failed.
  init(reading path: String, errno code: Int32) {
    self.init(code == EIO ? .io : .noInput, "\(path): \(Self.sentence(code))")
  }

  init(writing path: String, errno code: Int32) {
    let isCreation = [ENOENT, EACCES, EPERM, EROFS, ENOTDIR, EISDIR].contains(code)
    self.init(isCreation ? .cannotCreate : .io, "\(path): \(Self.sentence(code))")
  }

  private static func sentence(_ code: Int32) -> String {
    let text = String(cString: strerror(code))
    switch code {
    case ENOENT: return "\(text); check the path"
    case EACCES, EPERM, EROFS: return "\(text); check the permissions"
    case ENOSPC, EDQUOT: return "\(text); make room or choose another place"
    default: return text
    }
  }
}

/// A signal asked for the end; what had to be saved is saved.
struct Stopped: Error {
  let signal: Int32
}

extension Failure {
  /// What the library says of `subject`, and what to do about it.
  init(_ error: NestedError, about subject: String = "") {
    let (kind, advice) = Self.judgement(error.status)
    self.init(kind, Self.sentence(error, subject) + (advice.map { "; \($0)" } ?? ""))
  }

  /// A checkpoint of another library could not be read: the advice for our own files does not fit, and what is wrong is
  /// always in the folder.
  init(importing folder: String, _ error: NestedError) {
    switch error.status {
    case .io: self.init(reading: error.place.isEmpty ? folder : error.place, errno: error.osError)
    case .outOfMemory, .limit: self.init(.system, Self.sentence(error, folder))
    default: self.init(.data, Self.sentence(error, folder))
    }
  }

  private static func sentence(_ error: NestedError, _ subject: String) -> String {
    // "[session] the file ..." → "the file ..."
    var sentence = error.message[...]
    if sentence.hasPrefix("["), let end = sentence.firstIndex(of: "]") {
      sentence = sentence[sentence.index(after: end)...].drop { $0 == " " }
    }
    if sentence.hasSuffix(".") { sentence = sentence.dropLast() }
    var text = subject.isEmpty ? String(sentence) : "\(subject): \(sentence)"
    if !error.place.isEmpty && !sentence.contains(error.place) { text += " (\(error.place))" }
    if let offset = error.offset { text += " at byte \(offset)" }
    return text
  }

  private static func judgement(_ status: Status) -> (Kind, advice: String?) {
    switch status {
    case .corrupt, .numeric: (.data, "`nested-cli info FILE` says what a file is")
    case .version: (.data, "a newer libnested wrote it: update this one")
    case .mismatch: (.data, "use the model it was made with; `nested-cli info` shows fingerprints")
    case .configuration, .parse, .unsupported:
      (.data, "`nested-cli info --schema` lists the keys")
    case .outOfMemory, .limit: (.system, "use a smaller --batch, --length or model")
    case .argument, .range, .shape, .notFound, .exists, .state: (.usage, nil)
    case .io: (.io, nil)
    default: (.software, "this is a bug in libnested, please report it")
    }
  }
}

/// Runs calls of the library that are about one file; their errors name it.
func about<Result>(
  _ path: String, writing: Bool = false, _ body: () throws -> Result
) throws -> Result {
  do {
    return try body()
  } catch let error as NestedError {
    guard error.status == .io else { throw Failure(error, about: path) }
    throw writing
      ? Failure(writing: path, errno: error.osError) : Failure(reading: path, errno: error.osError)
  }
}
