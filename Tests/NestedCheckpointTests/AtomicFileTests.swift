import Glibc
import NestedBase
import NestedCheckpoint
import Testing

/// A disk in memory whose n-th call fails, or at whose n-th call the process dies: nothing after it
/// happens. Used by one test at a time.
final class FakeDisk: @unchecked Sendable {
  enum Fault { case none, fail(Int, code: Int), die(Int) }

  var files: [String: [UInt8]]
  var open: [Int32: String] = [:]
  var log: [String] = []
  var fault = Fault.none
  var largestWrite = Int.max
  var interruptsEverySecondCall = false
  private var step = 0
  private var interruptions = 0
  private var next: Int32 = 3

  init(_ files: [String: [UInt8]]) { self.files = files }

  /// nil when the call is to happen, else its result.
  private func intercept(_ name: String, canBeInterrupted: Bool = true) -> Int? {
    if interruptsEverySecondCall && canBeInterrupted {
      interruptions += 1
      if interruptions % 2 == 1 { return -SystemCode.interrupted }
    }
    step += 1
    log.append(name)
    switch fault {
    case .fail(let at, let code) where at == step: return -code
    case .die(let at) where step >= at: return -SystemCode.inputOutput
    default: return nil
    }
  }

  var calls: FileCalls {
    var calls = FileCalls.system
    calls.mode = { self.files[$0.text] == nil ? -SystemCode.notFound : 0o100640 }
    calls.create = { path, _ in
      if let code = self.intercept("create") { return Int32(code) }
      if self.files[path.text] != nil { return -Int32(SystemCode.exists) }
      self.files[path.text] = []
      self.next += 1
      self.open[self.next] = path.text
      return self.next
    }
    calls.openFolder = { _ in
      if let code = self.intercept("openFolder") { return Int32(code) }
      self.next += 1
      self.open[self.next] = "/"
      return self.next
    }
    calls.write = { descriptor, bytes in
      if let code = self.intercept("write") { return code }
      let count = min(bytes.byteCount, self.largestWrite)
      let piece = bytes.withUnsafeBytes { Array($0[..<count]) }
      self.files[self.open[descriptor] ?? "", default: []] += piece
      return count
    }
    calls.setPermissions = { _, _ in
      Int32(self.intercept("setPermissions", canBeInterrupted: false) ?? 0)
    }
    calls.sync = { _ in Int32(self.intercept("sync") ?? 0) }
    calls.close = { descriptor in
      self.open[descriptor] = nil  // whatever it says
      return Int32(self.intercept("close", canBeInterrupted: false) ?? 0)
    }
    calls.rename = { from, to in
      if let code = self.intercept("rename", canBeInterrupted: false) { return Int32(code) }
      self.files[to.text] = self.files.removeValue(forKey: from.text)
      return 0
    }
    calls.unlink = { path in
      if let code = self.intercept("unlink", canBeInterrupted: false) { return Int32(code) }
      self.files[path.text] = nil
      return 0
    }
    calls.unique = { 7 }
    return calls
  }
}

private let old: [UInt8] = Array("old contents".utf8)
private let new: [UInt8] = Array("the new contents, which are longer".utf8)

private func save(_ disk: FakeDisk, sync: Bool = true) throws(NestedError) {
  try AtomicFile.write(to: FilePath("/d/model"), sync: sync, calls: disk.calls) {
    put throws(NestedError) in
    try put(Array(new[..<10]).span.bytes)
    try put([UInt8]().span.bytes)
    try put(Array(new[10...]).span.bytes)
  }
}

@Suite struct AtomicFileTests {
  static let steps = [
    "create", "setPermissions", "write", "write", "sync", "close", "rename", "openFolder", "sync",
    "close",
  ]

  @Test func theStepsAreInOrder() throws {
    let disk = FakeDisk(["/d/model": old])
    try save(disk)
    #expect(disk.log == Self.steps)
    #expect(disk.files == ["/d/model": new] && disk.open.isEmpty)
    let first = FakeDisk([:])
    try save(first, sync: false)
    #expect(first.log == ["create", "write", "write", "close", "rename"])
    #expect(first.files == ["/d/model": new])
  }

  @Test(arguments: 1...10)
  func aFailureAtAnyStepLeavesTheOldFileAndNoOther(step: Int) throws {
    let disk = FakeDisk(["/d/model": old])
    disk.fault = .fail(step, code: SystemCode.noSpace)
    var failure: NestedError?
    do throws(NestedError) { try save(disk) } catch { failure = error }
    let isRenamed = step > 7
    #expect(disk.files == ["/d/model": isRenamed ? new : old])
    #expect(disk.open.isEmpty)
    if step < 10 {  // closing a folder loses nothing
      #expect(failure?.code == .io && failure?.osError == ENOSPC)
    }
  }

  /// After a death no call has an effect, unlink included: what then lies on the disk is what a
  /// kill -9 leaves.
  @Test(arguments: [1, 5, Int.max])
  func aDeathAtAnyCallLeavesTheOldOrTheNewFile(largestWrite: Int) {
    var deaths = 0
    while true {  // every call of the whole run, small writes included
      let disk = FakeDisk(["/d/model": old])
      disk.largestWrite = largestWrite
      disk.fault = .die(deaths + 1)
      let isAlive = (try? save(disk)) != nil
      #expect(disk.files["/d/model"] == old || disk.files["/d/model"] == new)
      #expect(disk.files.count <= 2)
      if isAlive && disk.log.count <= deaths { break }
      deaths += 1
    }
    #expect(deaths >= Self.steps.count)
  }

  @Test func interruptionsAndShortWritesAreContinued() throws {
    for largest in [1, 3, 100] {
      let disk = FakeDisk(["/d/model": old])
      disk.largestWrite = largest
      disk.interruptsEverySecondCall = true
      try save(disk)
      #expect(disk.files == ["/d/model": new] && disk.open.isEmpty)
    }
  }

  @Test func aDiskThatTakesNothingIsAnError() {
    let disk = FakeDisk([:])
    disk.largestWrite = 0
    #expect { try save(disk) } throws: { ($0 as? NestedError)?.osError == EIO }
    #expect(disk.files.isEmpty)
  }

  @Test func aTakenTemporaryNameIsAvoided() throws {
    let disk = FakeDisk(["/d/.nested-7.tmp": old, "/d/.nested-8.tmp": old])
    try save(disk)
    #expect(disk.files["/d/model"] == new && disk.files["/d/.nested-7.tmp"] == old)
    let full = FakeDisk([:])
    for i in 0..<200 { full.files["/d/.nested-\(7 + i).tmp"] = old }
    #expect { try save(full) } throws: { ($0 as? NestedError)?.osError == EEXIST }
  }

  @Test func aFailingBodyLeavesNothing() {
    let disk = FakeDisk(["/d/model": old])
    #expect {
      try AtomicFile.write(to: FilePath("/d/model"), calls: disk.calls) { put throws(NestedError) in
        try put(new.span.bytes)
        throw NestedError(.cancelled, "[test] stop")
      }
    } throws: { ($0 as? NestedError)?.code == .cancelled }
    #expect(disk.files == ["/d/model": old] && disk.open.isEmpty)
  }

  // On the real file system.

  @Test func realFilesAreReplacedAndKeepTheirPermissions() throws {
    try inTemporaryFolder { folder in
      let path = try FilePath("\(folder)/model")
      try AtomicFile.write(to: path) { put throws(NestedError) in try put(old.span.bytes) }
      chmod("\(folder)/model", 0o600)
      try AtomicFile.write(to: path) { put throws(NestedError) in try put(new.span.bytes) }
      var status = stat()
      stat("\(folder)/model", &status)
      #expect(status.st_mode & 0o777 == 0o600 && Int(status.st_size) == new.count)
      #expect(names(in: folder) == ["model"])
    }
  }

  @Test func onlyRegularFilesAreReplaced() throws {
    try inTemporaryFolder { folder in
      mkfifo("\(folder)/pipe", 0o600)
      symlink("/dev/null", "\(folder)/null")
      for name in ["pipe", "null", "."] {
        #expect {
          try AtomicFile.write(to: FilePath("\(folder)/\(name)")) { put throws(NestedError) in
            try put(new.span.bytes)
          }
        } throws: { ($0 as? NestedError)?.code == .io }
        if name != "." {
          #expect {
            try SafetensorsFile(path: "\(folder)/\(name)")
          } throws: { ($0 as? NestedError)?.code == .io }
        }
      }
      #expect(names(in: folder) == ["null", "pipe"])
      #expect { try SafetensorsFile(path: folder) } throws: {
        ($0 as? NestedError)?.osError == EISDIR
      }
      #expect { try SafetensorsFile(path: "\(folder)/none") } throws: {
        ($0 as? NestedError)?.osError == ENOENT
      }
      #expect {
        try AtomicFile.write(to: FilePath("\(folder)/none/x")) { _ throws(NestedError) in }
      } throws: { ($0 as? NestedError)?.osError == ENOENT }
    }
  }

  @Test func safetensorsGoThroughTheDisk() throws {
    try inTemporaryFolder { folder in
      try withSample { floats, values in
        // A name that is no UTF-8 stays what it is.
        let path = try FilePath(bytes: Array("\(folder)/m".utf8) + [0xFF])
        let writer = try sampleWriter(floats)
        try writer.write(to: path)
        let file = try SafetensorsFile(path: path)
        try file.verifyChecksum()
        #expect(try file.floats("w", atMost: 6).map(\.bitPattern) == values.map(\.bitPattern))
        // The open file is the old one even when another takes its place.
        try SafetensorsWriter(identity).write(to: path, sync: false)
        #expect(try file.int64s("clock", atMost: 2) == [-1, .max])
        #expect(try SafetensorsFile(path: path).records.isEmpty)
      }
    }
  }

  @Test func aFileThatShrinksWhileOpenIsCorrupt() throws {
    try inTemporaryFolder { folder in
      try withSample { floats, _ in
        try sampleWriter(floats).write(to: FilePath("\(folder)/m"))
        let file = try SafetensorsFile(path: "\(folder)/m")
        truncate("\(folder)/m", 16)
        #expect { try file.floats("w", atMost: 6) } throws: {
          ($0 as? NestedError)?.code == .corrupt
        }
      }
    }
  }

  @Test func badPathsAreArguments() {
    #expect { try FilePath("") } throws: { ($0 as? NestedError)?.code == .argument }
    #expect { try FilePath("a\0b") } throws: { ($0 as? NestedError)?.code == .argument }
  }
}

func inTemporaryFolder(_ body: (String) throws -> Void) throws {
  var template = Array("/tmp/nested-test-XXXXXX".utf8CString)
  guard mkdtemp(&template) != nil else {
    Issue.record("no temporary folder")
    return
  }
  let folder = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
  defer {
    for name in rawNames(in: folder) {
      let path = Array(folder.utf8).map { CChar(bitPattern: $0) } + [CChar(47)] + name + [0]
      unlink(path)
    }
    rmdir(folder)
  }
  try body(folder)
}

private func rawNames(in folder: String) -> [[CChar]] {
  guard let stream = opendir(folder) else { return [] }
  defer { closedir(stream) }
  var names: [[CChar]] = []
  while let entry = readdir(stream) {
    let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
      bytes.prefix { $0 != 0 }.map { CChar(bitPattern: $0) }
    }
    if name != [46] && name != [46, 46] { names.append(name) }
  }
  return names
}

private func names(in folder: String) -> [String] {
  rawNames(in: folder).map { String(decoding: $0.map { UInt8(bitPattern: $0) }, as: UTF8.self) }
    .sorted()
}
