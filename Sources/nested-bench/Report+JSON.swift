extension Report {
  /// The same figures for programs; numbers that do not exist are null.
  var json: String {
    var members: [(String, String)] = [
      (
        "machine",
        object([
          ("cpu", quoted(machine.cpu)), ("cores", "\(machine.cores)"),
          ("memory_gib", number(machine.memory)), ("system", quoted(machine.system)),
          ("kernels", quoted(machine.kernels)), ("load", number(machine.load)),
        ])
      ), ("version", quoted(machine.version)), ("threads", "\(threads)"),
    ]
    if let peak {
      members.append(
        ("sgemm_gflops", object([("one", number(peak.one)), ("all", number(peak.all))])))
    }
    members.append(
      (
        "models",
        array(
          models.map {
            object([
              ("name", quoted($0.name)), ("parameters", "\($0.parameters)"),
              ("flops_forward", number($0.flops.forward)),
              ("flops_training", number($0.flops.training)),
              ("flops_learning", number($0.flops.learning)),
            ])
          })
      ))
    members.append(
      (
        "throughput",
        array(
          throughput.map {
            object([
              ("model", quoted($0.model)), ("work", quoted($0.work)),
              ("tokens_per_second", spread($0.tokensPerSecond)), ("gflops", number($0.gigaflops)),
              ("storage_allocations_per_token", number($0.storage)),
              ("malloc_calls_per_token", number($0.heap)),
            ])
          })
      ))
    members.append(
      (
        "latency_us",
        array(
          latency.map {
            object([
              ("model", quoted($0.model)), ("learn", quoted("\($0.learn)")),
              ("tokens", "\($0.tokens)"), ("median", number($0.median)),
              ("p99", number($0.percentile99)), ("longest", number($0.longest)),
              ("inside", number($0.inside)), ("closing", number($0.closing)),
              ("slow", number($0.slow)), ("mean", number($0.mean)),
            ])
          })
      ))
    members.append(
      (
        "sessions",
        array(
          sessions.map {
            object([
              ("model", quoted($0.model)), ("fresh", "\($0.fresh)"), ("memory", "\($0.memory)"),
              ("learning", "\($0.learning)"),
            ])
          })
      ))
    if let loading {
      members.append(
        (
          "loading",
          object([
            ("bytes", "\(loading.bytes)"), ("dlopen_ms", spread(loading.loaded)),
            ("first_call_ms", spread(loading.called)), ("context_ms", spread(loading.context)),
          ])
        ))
    }
    return object(members) + "\n"
  }

  private func object(_ members: [(String, String)]) -> String {
    "{" + members.map { "\"\($0.0)\": \($0.1)" }.joined(separator: ", ") + "}"
  }
  private func array(_ items: [String]) -> String { "[" + items.joined(separator: ",\n ") + "]" }
  private func number(_ value: Double) -> String { value.isFinite ? "\(value)" : "null" }
  private func quoted(_ text: String) -> String {
    "\"" + text.map { $0 == "\"" || $0 == "\\" ? "\\\($0)" : "\($0)" }.joined() + "\""
  }
  private func spread(_ s: Spread) -> String {
    object([
      ("median", number(s.median)), ("low", number(s.low)), ("high", number(s.high)),
      ("count", "\(s.count)"),
    ])
  }
}
