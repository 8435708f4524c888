extension OracleOptions {
  /// The same options as a configuration file of SPEC 7, for the library under test.
  package var configurationJSON: String {
    let order = ["k", "v", "eta", "alpha", "mem", "q"]
    let adapted = order.filter(adapt.contains).map { "\"\($0)\"" }.joined(separator: ", ")
    let levelTexts = levels.map { level in
      let online =
        level.chunk == 0
        ? ""
        : ", \"optimizer\": \"\(level.optimizer.rawValue)\", \"lr\": \(level.lr), \"clip\": \(level.clip)"
      return "{ \"chunk\": \(level.chunk), \"hidden\": \(level.hidden)\(online) }"
    }
    return """
      { "kind": "hope", "task": "lm", "vocab": \(vocab), "d_model": \(width), "n_layers": \(layers),
        "head_dim": \(headDim), "n_heads": \(heads), "tie_embeddings": \(tied), "norm_eps": \(normEps),
        "segment": \(segment),
        "memory": { "type": "\(memory.rawValue)", "objective": "\(objective.rawValue)",
          "inner_rule": "\(innerRule.rawValue)", "outer_rule": "\(outerRule.rawValue)",
          "inner_momentum": \(innerMomentum), "retention": \(retention),
          "normalize_value": \(normalizeValue), "input_projection": "\(inputProjection.rawValue)",
          "adaptive_q": \(adaptiveQ), "adapt": [\(adapted)], "expansion": \(expansion),
          "memory_chunk": \(memoryChunk), "projection_chunk": \(projectionChunk),
          "read": "\(read.rawValue)", "eta_max": \(etaMax), "truncate_bptt": \(truncateBPTT) },
        "cms": { "variant": "\(variant.rawValue)", "mlp": "\(feed.rawValue)", "meta": "\(meta.rawValue)",
          "levels": [ \(levelTexts.joined(separator: ", ")) ] } }
      """
  }
}

/// ‖a - b‖ / ‖b‖, the measure of SPEC 6; NaN anywhere gives NaN, which no comparison accepts.
package func relativeError(_ a: [Double], _ b: [Double]) -> Double {
  precondition(a.count == b.count)
  var difference = 0.0
  var size = 0.0
  for i in a.indices {
    difference += (a[i] - b[i]) * (a[i] - b[i])
    size += b[i] * b[i]
  }
  return size == 0 ? difference.squareRoot() : (difference / size).squareRoot()
}
