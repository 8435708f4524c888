internal import CNested

/// A C struct that starts with its size (rule R8 of the header).
protocol Record {
  init()
  var struct_size: UInt32 { get set }
}

extension Record {
  /// Everything at its default, and the size stamped: what `NESTED_INIT()` does in C.
  static func stamped() -> Self {
    var record = Self()
    record.struct_size = UInt32(MemoryLayout<Self>.stride)
    return record
  }
}

extension nested_error: @unsafe Record {}
extension nested_context_options: @unsafe Record {}
extension nested_memory_stats: Record {}
extension nested_run: @unsafe Record {}
extension nested_model_info: Record {}
extension nested_tensor_info: @unsafe Record {}
extension nested_batch: @unsafe Record {}
extension nested_eval: Record {}
extension nested_step: Record {}
extension nested_fit: Record {}
extension nested_session_options: Record {}
extension nested_session_info: Record {}
extension nested_feed: Record {}
extension nested_sampling: @unsafe Record {}
extension nested_level: Record {}
extension nested_level_control: Record {}
extension nested_consolidation: @unsafe Record {}
