import CNested

/// Floating-point operations of one token that the mathematics asks for:
///
///     projections, convolutions, levels, output   2 per weight: one multiply-add
///     memories                                     8 per weight: what a memory generates or reads,
///                                                  its self-generated target, W k, and the outer
///                                                  product that writes it
///     mlp memories, outer weight w1                2 more: W1ᵀ e
///
/// Norms, activations, softmax, optimizers and whatever a chunked form adds are left out, so a
/// fraction of the peak that is computed from these is never flattered.
struct Cost {
  /// The forward pass: a token of a session that does not learn online.
  let forward: Double
  /// Training: forward, and twice that backward.
  var training: Double { 3 * forward }
  /// Online learning: forward, the same again for the gradients of activations, and those of the
  /// levels that learn.
  let learning: Double

  init(model: OpaquePointer, periods: [Int]) throws {
    var products = 0.0
    var learnt = 0.0
    var tied = 0.0
    for i in 0..<nested_model_tensor_count(model) {
      var info = prepared(nested_tensor_info(), \.struct_size)
      try check(nested_model_tensor_at(model, i, &info))
      let name = String(cString: info.name)
      let count = Double(info.n_elements)
      if name == "embed.weight" {
        tied = 2 * count
      } else if name.contains(".memory.") {
        products += (name.hasSuffix(".w1") ? 10 : 8) * count
      } else if info.ndim == 2 {
        products += 2 * count
        if name == "head.weight" { tied = 0 }
        if info.level >= 0 && periods[Int(info.level)] > 0 { learnt += 2 * count }
      }
    }
    forward = products + tied
    learning = 2 * forward + learnt
  }
}
