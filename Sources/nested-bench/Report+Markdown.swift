extension Report {
  var markdown: String {
    var lines = ["# Figures of libnested \(machine.version)", ""]
    lines.append(
      "Machine: \(machine.cpu), \(machine.cores) cores, \(fixed(machine.memory, 0)) GiB, \(machine.system); kernel"
        + " class \(machine.kernels); \(threads) \(threads == 1 ? "thread" : "threads"); load average when it began"
        + " \(fixed(machine.load, 1)).")
    if let peak {
      lines.append(
        "sgemm 512 x 512 x 512 of the system's OpenBLAS, best of the run: \(fixed(peak.one, 0)) GFLOP/s on one thread,"
          + " \(fixed(peak.all, 0)) on \(peak.threads) at once. \"Of the peak\" is of the latter.")
    } else {
      lines.append("There is no system OpenBLAS to measure the peak with.")
    }
    lines.append("What is measured, and how: README.md here.")
    lines += modelTable + throughputTable + latencyTable + sessionTable + loadTable
    return lines.joined(separator: "\n") + "\n"
  }

  private var modelTable: [String] {
    if models.isEmpty { return [] }
    return [
      "", "| model | parameters | MFLOP per token, forward | training | learning online |",
      "|---|---|---|---|---|",
    ]
      + models.map {
        "| \($0.name) | \(grouped(Double($0.parameters))) | \(fixed($0.flops.forward * 1e-6, 2))"
          + " | \(fixed($0.flops.training * 1e-6, 2)) | \(fixed($0.flops.learning * 1e-6, 2)) |"
      }
  }

  private var throughputTable: [String] {
    if throughput.isEmpty { return [] }
    return [
      "", "## Throughput", "",
      "| model | work | tokens/s, median | range | rounds | GFLOP/s | of the peak | storage allocations per token"
        + " | malloc calls per token |",
      "|---|---|---|---|---|---|---|---|---|",
    ]
      + throughput.map {
        let rate = $0.tokensPerSecond
        let share = fixed(100 * $0.gigaflops / (peak?.all ?? .nan), 1) + " %"
        return "| \($0.model) | \($0.work) | \(grouped(rate.median)) | \(grouped(rate.low))–\(grouped(rate.high))"
          + " | \(rate.count) | \(fixed($0.gigaflops, 1)) | \(share) | \(fixed($0.storage, 3))"
          + " | \(fixed($0.heap, 1)) |"
      }
  }

  private var latencyTable: [String] {
    if latency.isEmpty { return [] }
    return [
      "", "## Latency of one streamed token, microseconds", "",
      "| model | learning | tokens | median | 99th percentile | longest | inside a segment, median"
        + " | closes a segment, median | and steps the second level | mean |",
      "|---|---|---|---|---|---|---|---|---|---|",
    ]
      + latency.map {
        let inside = $0.learn == .on ? $0.inside : .nan
        let closing = $0.learn == .on ? $0.closing : .nan
        let slow = $0.learn == .on ? $0.slow : .nan
        return "| \($0.model) | \($0.learn) | \($0.tokens) | \(grouped($0.median)) | \(grouped($0.percentile99))"
          + " | \(grouped($0.longest)) | \(grouped(inside)) | \(grouped(closing)) | \(grouped(slow))"
          + " | \(grouped($0.mean)) |"
      }
  }

  private var sessionTable: [String] {
    if sessions.isEmpty { return [] }
    return [
      "", "## Bytes of a session's own", "",
      "| model | weights | session, fresh | after 1,024 tokens | after every level has learnt |",
      "|---|---|---|---|---|",
    ]
      + sessions.map {
        "| \($0.model) | \(grouped(4 * Double($0.parameters))) | \(grouped(Double($0.fresh)))"
          + " | \(grouped(Double($0.memory))) | \(grouped(Double($0.learning))) |"
      }
  }

  private var loadTable: [String] {
    guard let loading else { return [] }
    func row(_ name: String, _ spread: Spread) -> String {
      "| \(name) | \(fixed(spread.median, 2)) | \(fixed(spread.low, 2))–\(fixed(spread.high, 2)) |"
    }
    return [
      "", "## Loading", "",
      "Library: \(fixed(Double(loading.bytes) / 1_048_576, 1)) MiB (\(grouped(Double(loading.bytes))) bytes)."
        + " Milliseconds in \(loading.called.count) fresh processes, the file in the page cache:", "",
      "| until | median | range |", "|---|---|---|",
      row("dlopen returns", loading.loaded), row("the first call returns", loading.called),
      row("a context is there", loading.context),
    ]
  }
}
