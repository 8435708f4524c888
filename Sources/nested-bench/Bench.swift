import Glibc

/// nested-bench: how fast the library is on this machine, as Markdown on standard output.
/// README.md says what is measured and how.
@main
struct Bench {
  static func main() {
    do {
      guard let options = try Options(CommandLine.arguments.dropFirst()) else {
        print(Options.usage)
        return
      }
      let report = try run(options)
      print(report.markdown)
      if let folder = options.output {
        try save(report.markdown, "\(folder)/RESULTS.md")
        try save(report.json, "\(folder)/results.json")
      }
    } catch {
      say("nested-bench: \(error)")
      exit(1)
    }
  }

  static func run(_ options: Options) throws -> Report {
    let machine = Machine()
    let threads = options.threads > 0 ? options.threads : machine.cores
    var report = Report(machine: machine, threads: threads)
    let peak = Peak(threads: min(threads, machine.cores))
    let text = Text()
    if options.does("loading") {
      say("loading")
      report.loading = try Loading(probe: siblingProgram("nested-bench-load"))
    }
    for preset in options.models {
      let context = try Context(threads: threads)
      let model = try Model(context, preset: preset)
      report.models.append(
        Report.Size(name: preset, parameters: model.parameters, flops: model.cost))
      let bench = ThroughputBench(
        context: context, model: model, text: text, seconds: options.seconds)
      func measure(_ group: String, _ body: () throws -> Throughput) throws {
        guard options.does(group) else { return }
        peak?.measure()
        let row = try body()
        say("\(preset): \(row.work): \(grouped(row.tokensPerSecond.median)) tokens/s")
        report.throughput.append(row)
      }
      try measure("feeding") { try bench.feeding(.memory) }
      try measure("feeding") { try bench.feeding(.on) }
      try measure("decoding") { try bench.decoding(.memory) }
      try measure("decoding") { try bench.decoding(.on) }
      try measure("generating") { try bench.generation() }
      if options.does("latency") {
        for learn in [Learn.memory, .on] {
          say("\(preset): latency, \(learn)")
          report.latency.append(try Latency(model, text, learn, seconds: options.seconds))
        }
      }
      if options.does("sessions") { report.sessions.append(try SessionSize(model, text)) }
      try measure("training") { try bench.training(rows: 4, length: 512) }
      peak?.measure()
    }
    report.peak = peak.map { Report.Rates(one: $0.one, all: $0.all, threads: $0.threads) }
    return report
  }

  /// A program beside this one.
  private static func siblingProgram(_ name: String) throws -> String {
    guard let path = realpath("/proc/self/exe", nil) else { throw BenchError("no /proc") }
    defer { free(path) }
    return String(cString: path).split(separator: "/", omittingEmptySubsequences: false).dropLast()
      .joined(separator: "/") + "/" + name
  }

  private static func save(_ text: String, _ path: String) throws {
    guard let file = fopen(path, "w") else { throw BenchError("cannot write \(path)") }
    fputs(text, file)
    if fclose(file) != 0 { throw BenchError("cannot write \(path)") }
  }
}

/// Progress and errors; the report alone goes to standard output.
func say(_ text: String) {
  let line = Array((text + "\n").utf8)
  _ = write(STDERR_FILENO, line, line.count)
}
