import CNested
import Glibc

/// What the figures were measured on.
struct Machine {
  let cpu: String
  let cores: Int
  let memory: Double  // GiB
  let system: String
  let kernels: String  // the library's kernel class
  let version: String
  let load: Double  // processes that wanted a core in the minute before

  init() {
    cpu = Self.value("/proc/cpuinfo", "model name") ?? "unknown"
    cores = sysconf(Int32(_SC_NPROCESSORS_ONLN))
    let kib = Self.value("/proc/meminfo", "MemTotal").flatMap { text in
      text.split(separator: " ").first.flatMap { Double($0) }
    }
    memory = (kib ?? 0) / 1_048_576
    var name = utsname()
    uname(&name)
    system =
      withUnsafeBytes(of: name.sysname) { Self.text($0) } + " "
      + withUnsafeBytes(of: name.release) { Self.text($0) } + " "
      + withUnsafeBytes(of: name.machine) { Self.text($0) }
    version = String(cString: nested_version_string())
    // "simd": "x86-64-v4"
    let parts = String(cString: nested_build_info()).split(separator: "\"")
    let at = parts.firstIndex(of: "simd")
    kernels = at.flatMap { $0 + 2 < parts.count ? String(parts[$0 + 2]) : nil } ?? "unknown"
    var averages = [Double](repeating: 0, count: 1)
    load = getloadavg(&averages, 1) == 1 ? averages[0] : .nan
  }

  private static func text(_ bytes: UnsafeRawBufferPointer) -> String {
    String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
  }

  /// The value of the first line "key : value".
  private static func value(_ path: String, _ key: String) -> String? {
    guard let line = lines(path).first(where: { $0.hasPrefix(key) }),
      let colon = line.firstIndex(of: ":")
    else { return nil }
    return String(line[line.index(after: colon)...].drop { $0 == " " || $0 == "\t" })
  }

  /// The lines of a file, none where there is no such file.
  static func lines(_ path: String) -> [String] {
    guard let file = fopen(path, "r") else { return [] }
    defer { fclose(file) }
    return lines(of: file)
  }

  static func lines(of file: UnsafeMutablePointer<FILE>) -> [String] {
    var lines: [String] = []
    var buffer = [CChar](repeating: 0, count: 8192)
    while fgets(&buffer, Int32(buffer.count), file) != nil {
      let bytes = buffer.prefix { $0 != 0 && $0 != 10 }.map { UInt8(bitPattern: $0) }
      lines.append(String(decoding: bytes, as: UTF8.self))
    }
    return lines
  }
}
