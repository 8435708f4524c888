import CNestedShims
import Glibc
import NestedTensor
import Testing

/// Time per operation from the same table: NESTED_BENCH_OPS=1 swift test -c release --filter OpBenchmark
@Suite(.serialized) struct OpBenchmark {
  @Test(.enabled(if: getenv("NESTED_BENCH_OPS") != nil))
  func timePerOperation() throws {
    let runtime = try Runtime(threads: Int(nested_shim_available_cores()))
    print(
      "\(machine), kernels \(runtime.kernels.cpuClass), \(runtime.threads.threads) threads, median of 15"
    )
    for row in OpRow.all {
      let engine = Engine(
        kernels: runtime.kernels, threads: runtime.threads, budget: runtime.budget)
      let values = row.inputs(row.large)
      var forward: [Double] = [], both: [Double] = []
      for repetition in 0..<17 {
        let tape = Tape()
        engine.tape = tape
        let inputs = try engine.tensors(row, values, row.large).map(tape.variable)
        let start = now()
        let y = try row.apply(engine, inputs, row.large)
        let middle = now()
        let seed = try engine.full(y.shape, 1)
        let second = now()
        try tape.backward(engine, from: y, seed: seed)
        if repetition >= 2 {
          forward.append(middle - start)
          both.append(now() - second)
        }
        engine.tape = nil
      }
      let sizes = row.shapes(row.large).prefix(3).map { "\($0)" }.joined(separator: " ")
      print(
        "\(padded(row.name, 44)) forward \(padded(micro(forward), 10)) backward \(padded(micro(both), 10)) \(sizes)"
      )
    }
  }

  private func micro(_ seconds: [Double]) -> String {
    let tenths = Int((seconds.sorted()[seconds.count / 2] * 1e7).rounded())
    return "\(tenths / 10).\(tenths % 10) µs"
  }
  private func padded(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
  }
  private func now() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }

  /// The processor's name, as the kernel tells it.
  private var machine: String {
    guard let file = fopen("/proc/cpuinfo", "r") else { return "unknown processor" }
    defer { fclose(file) }
    var buffer = [CChar](repeating: 0, count: 512)
    while fgets(&buffer, 512, file) != nil {
      let line = String(
        decoding: buffer.prefix { $0 != 0 && $0 != 10 }.map { UInt8(bitPattern: $0) }, as: UTF8.self
      )
      if line.hasPrefix("model name"), let colon = line.firstIndex(of: ":") {
        return String(line[line.index(colon, offsetBy: 2)...])
      }
    }
    return "unknown processor"
  }
}
