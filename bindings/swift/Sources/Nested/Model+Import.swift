internal import CNested

extension Model {
  /// Reads a checkpoint that Hugging Face's transformers saved: a directory with config.json and
  /// model.safetensors, or its index and shards, of LlamaForCausalLM. The result is of kind
  /// "transformer" and has the same logits.
  ///
  /// - Parameters:
  ///   - path: The directory; passed to the system unchanged.
  ///   - context: What the model computes with.
  ///   - run: Progress in bytes, stage "import".
  /// - Throws: ``Status/unsupported`` for what the library has no counterpart for,
  ///   ``Status/configuration`` with the place in config.json, ``Status/parse``,
  ///   ``Status/corrupt``, ``Status/shape`` and ``Status/dtype`` with the tensor,
  ///   ``Status/numeric``, ``Status/io`` with errno.
  public init(
    importing path: String, in context: Context, run: Run = Run()
  ) throws(NestedError) {
    let path = try cText(path, place: "path")
    handle = try unsafe context.handle.making(nested_model_release, run: run) { context, run, out in
      unsafe nested_model_import(context, path, run, out)
    }
  }

  /// A new model of kind "hope-attention" in which the feed-forward of every block of this
  /// "transformer" is a level of a Continuum Memory System, which sessions go on teaching. Until one
  /// learns, the logits are this model's, bit for bit.
  ///
  /// - Parameters:
  ///   - cms: The levels, as the configuration's "cms": `["levels": [["chunk": 64]]]`, which is also
  ///     what `nil` means.
  ///   - pretrained: The level that the feed-forward becomes, 0 the fastest.
  ///   - seed: Of the new levels' weights.
  ///   - run: Progress and cancelling.
  /// - Throws: ``Status/unsupported`` for a model of another kind, ``Status/configuration`` with the
  ///   place, ``Status/range`` when there is no such level.
  public func stacked(
    cms: JSON? = nil, pretrained: Int = 0, seed: UInt64 = 0, run: Run = Run()
  ) throws(NestedError) -> Model {
    let json = cms?.description ?? ""
    return unsafe Model(
      try handle.making(nested_model_release, run: run) { model, run, out in
        unsafe nested_model_stack(
          model, json, json.utf8.count, Int32(clamping: pretrained), seed, run, out)
      })
  }
}
