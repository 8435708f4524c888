extension Report {
  var markdown: String {
    var lines = ["# Figures of libnested \(machine.version)", "", about]
    if let peak {
      lines.append(
        "sgemm 512 x 512 x 512 of the system's OpenBLAS, best of the run: \(fixed(peak.one, 0))"
          + " GFLOP/s on one thread, \(fixed(peak.all, 0)) on \(peak.threads) at once."
          + " \"Of the peak\" is of the latter.")
    } else {
      lines.append("There is no system OpenBLAS to measure the peak with.")
    }
    lines.append("What is measured, and how: README.md here.")
    lines += modelTable + throughputTable + latencyTable + sessionTable + loadTable
    return lines.joined(separator: "\n") + "\n"
  }

  private var about: String {
    "Machine: \(machine.cpu), \(machine.cores) cores, \(fixed(machine.memory, 0)) GiB,"
      + " \(machine.system); kernel class \(machine.kernels);"
      + " \(threads) \(threads == 1 ? "thread" : "threads");"
      + " load average when it began \(fixed(machine.load, 1))."
  }

  private var modelTable: [String] {
    let columns = [
      "model", "parameters", "MFLOP per token, forward", "training", "learning online",
    ]
    return table(
      nil, columns,
      models.map {
        [
          $0.name, grouped(Double($0.parameters)), fixed($0.flops.forward * 1e-6, 2),
          fixed($0.flops.training * 1e-6, 2), fixed($0.flops.learning * 1e-6, 2),
        ]
      })
  }

  private var throughputTable: [String] {
    let columns = [
      "model", "work", "tokens/s, median", "range", "rounds", "GFLOP/s", "of the peak",
      "storage allocations per token", "malloc calls per token",
    ]
    return table(
      "Throughput", columns,
      throughput.map {
        let rate = $0.tokensPerSecond
        return [
          $0.model, $0.work, grouped(rate.median), "\(grouped(rate.low))–\(grouped(rate.high))",
          "\(rate.count)", fixed($0.gigaflops, 1),
          fixed(100 * $0.gigaflops / (peak?.all ?? .nan), 1) + " %", fixed($0.storage, 3),
          fixed($0.heap, 1),
        ]
      })
  }

  private var latencyTable: [String] {
    let columns = [
      "model", "learning", "tokens", "median", "99th percentile", "longest", "mean",
      "inside a segment, median", "closes a segment, median", "and steps the second level",
    ]
    return table(
      "Latency of one streamed token, microseconds", columns,
      latency.map {
        var row = [
          $0.model, "\($0.learn)", "\($0.tokens)", grouped($0.median), grouped($0.percentile99),
          grouped($0.longest), grouped($0.mean),
        ]
        for value in [$0.inside, $0.closing, $0.slow] {
          row.append(grouped($0.learn == .on ? value : .nan))
        }
        return row
      })
  }

  private var sessionTable: [String] {
    let columns = [
      "model", "weights", "session, fresh", "after 1,024 tokens", "after every level has learnt",
    ]
    return table(
      "Bytes of a session's own", columns,
      sessions.map {
        [
          $0.model, grouped(4 * Double($0.parameters)), grouped(Double($0.fresh)),
          grouped(Double($0.memory)), grouped(Double($0.learning)),
        ]
      })
  }

  private var loadTable: [String] {
    guard let loading else { return [] }
    func row(_ name: String, _ spread: Spread) -> [String] {
      [name, fixed(spread.median, 2), "\(fixed(spread.low, 2))–\(fixed(spread.high, 2))"]
    }
    var lines = table(
      "Loading", ["until", "milliseconds, median", "range"],
      [
        row("dlopen returns", loading.loaded), row("the first call returns", loading.called),
        row("a context is there", loading.context),
      ])
    let size = fixed(Double(loading.bytes) / 1_048_576, 1)
    lines += [
      "",
      "\(loading.called.count) fresh processes, the file in the page cache. The library is \(size)"
        + " MiB (\(grouped(Double(loading.bytes))) bytes).",
    ]
    return lines
  }

  /// Nothing when there are no rows.
  private func table(_ title: String?, _ columns: [String], _ rows: [[String]]) -> [String] {
    if rows.isEmpty { return [] }
    func line(_ cells: [String]) -> String { "| " + cells.joined(separator: " | ") + " |" }
    return (title.map { ["", "## \($0)"] } ?? [])
      + ["", line(columns), "|" + String(repeating: "---|", count: columns.count)] + rows.map(line)
  }
}
