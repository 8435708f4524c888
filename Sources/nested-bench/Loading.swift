import CNested
import Glibc

/// The library as a file, and how long it takes to load in a fresh process from a warm page cache,
/// in milliseconds.
struct Loading {
  let library: String
  let bytes: Int
  let loaded: Spread
  let called: Spread
  let context: Spread

  /// `probe` is the program nested-bench-load.
  init(probe: String, runs: Int = 11) throws {
    // The file is the one that this process runs with.
    guard let map = Machine.lines("/proc/self/maps").first(where: { $0.contains("/libnested.so") }),
      let start = map.firstIndex(of: "/")
    else { throw BenchError("libnested is not in this process") }
    library = String(map[start...])
    var status = stat()
    stat(library, &status)
    bytes = Int(status.st_size)
    var times: [[Double]] = []
    for _ in 0..<runs {
      let line = try Self.output(of: "'\(probe)' '\(library)'")
      let numbers = line.split(separator: " ").compactMap { Double($0) }
      guard numbers.count == 3 else { throw BenchError("\(probe) printed: \(line)") }
      times.append(numbers)
    }
    loaded = Spread(times.map { 1e-3 * $0[0] })
    called = Spread(times.map { 1e-3 * $0[1] })
    context = Spread(times.map { 1e-3 * $0[2] })
  }

  private static func output(of command: String) throws -> String {
    guard let pipe = popen(command, "r") else { throw BenchError("cannot run \(command)") }
    let lines = Machine.lines(of: pipe)
    guard pclose(pipe) == 0, let line = lines.first else { throw BenchError("\(command) failed") }
    return line
  }
}
