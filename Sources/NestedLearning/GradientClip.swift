/// Clipping by global norm, PyTorch's `clip_grad_norm_`: g ← g · min(1, limit / (‖g‖ + 1e-6)).
package enum GradientClip {
  /// The factor on the gradient; `limit` 0 = no clipping. `norm` is finite.
  package static func factor(norm: Double, limit: Double) -> Double {
    limit > 0 ? min(1, limit / (norm + 1e-6)) : 1
  }
}
