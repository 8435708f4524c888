internal import NestedCheckpoint

// The keys of a configuration: one row each. Names are permanent (SPEC 7).

extension LevelConfiguration {
  static let table = JSONTable<LevelConfiguration>(
    "One CMS level",
    [
      .integer(
        "chunk", \.chunk, in: 0...(1 << 40),
        "Period in tokens: the level learns online after every so many; 0 = never."),
      .integer(
        "hidden", \.hidden, in: 1...(1 << 20), follows: "2 d_model",
        "Width of the level's MLP."),
      .choice("optimizer", \.optimizer, "Optimizer of the online updates."),
      .number(
        "lr", \.lr, in: .from(0, to: 1000), "Learning rate of the online updates."),
      .number(
        "clip", \.clip, in: .above(0, to: 1e30),
        "Largest norm of the summed gradient of a period."),
    ])
}

extension HeadConfiguration {
  static let table = JSONTable<HeadConfiguration>(
    "Head of the tasks classify and regress",
    [
      .integer(
        "chunk", \.chunk, in: 0...(1 << 30),
        "Period in inputs: the head learns online after every so many; 0 = never."),
      .choice("optimizer", \.optimizer, "Optimizer of the online updates."),
      .number("lr", \.lr, in: .from(0, to: 1000), "Learning rate of the online updates."),
      .number(
        "clip", \.clip, in: .above(0, to: 1e30),
        "Largest norm of the summed gradient of a period."),
    ])
}

extension CMSConfiguration {
  static let table = JSONTable<CMSConfiguration>(
    "Continuum Memory System",
    [
      .choice("variant", \.variant, "How the levels are combined."),
      .choice("mlp", \.mlp, "The MLP of every level."),
      .choice(
        "meta", \.meta,
        "What outer training sees of the online updates: nothing, adapted levels, or the updates too."),
      .list(
        "levels", \.levels, LevelConfiguration.table, fresh: LevelConfiguration(), count: 1...64,
        "The levels, fastest first."),
    ])
}

extension MemoryConfiguration {
  static let table = JSONTable<MemoryConfiguration>(
    "Self-modifying Titans",
    [
      .choice("type", \.type, "A memory is a matrix or an MLP with one hidden layer."),
      .choice(
        "objective", \.objective, "What a write minimises: squared error, or minus the product."),
      .choice("inner_rule", \.innerRule, "Delta gradient descent, or plain gradient descent."),
      .choice("outer_rule", \.outerRule, "Rule for the outer matrix of an mlp memory."),
      .number("inner_momentum", \.innerMomentum, in: .from(0, below: 1), "Momentum of the writes."),
      .flag("retention", \.retention, "Whether alpha lets the memories forget; off: alpha = 1."),
      .flag("normalize_value", \.normalizeValue, "Whether values are scaled to length 1."),
      .choice("input_projection", \.inputProjection, "What the memories read."),
      .flag("adaptive_q", \.adaptiveQ, "Whether queries come from a memory of their own."),
      .set("adapt", \.adapt, of: MemorySet.names, "The memories that are written in context."),
      .integer(
        "expansion", \.expansion, in: 1...64, "Hidden width of an mlp memory, in head widths."),
      .integer("memory_chunk", \.memoryChunk, in: 1...1024, "Chunk of the memory mem, in tokens."),
      .integer(
        "projection_chunk", \.projectionChunk, in: 1...1024,
        "Chunk of the other memories, in tokens."),
      .choice("read", \.read, "Read the state before the token, or at the start of the chunk."),
      .number(
        "eta_max", \.etaMax, in: .from(0, to: 100), follows: "1, of an mlp memory 0.1",
        "Largest inner learning rate."),
      .integer(
        "truncate_bptt", \.truncateBPTT, in: 0...(1 << 30),
        "Memory chunks after which the outer gradient is cut; 0 = never."),
    ])
}

extension TitansConfiguration {
  static let table = JSONTable<TitansConfiguration>(
    "Titans",
    [
      .choice("mode", \.mode, "The memory alone, or with attention: as context, as gate, as layer."),
      .choice("memory", \.memory, "The memory is a matrix or an MLP with one hidden layer."),
      .integer(
        "expansion", \.expansion, in: 1...64, "Hidden width of an mlp memory, in head widths."),
      .integer(
        "chunk", \.chunk, in: 1...1024,
        "Tokens whose gradients are taken at one state of the memory."),
      .number(
        "theta_max", \.thetaMax, in: .from(0, to: 100), follows: "1, of an mlp memory 0.1",
        "Largest learning rate of the memory."),
      .integer("segment", \.segment, in: 1...(1 << 20), "Segment of mode mac, in tokens."),
      .integer(
        "persistent", \.persistent, in: 0...65536,
        "Learnt tokens that attention always sees (modes mac, mag, mal)."),
      .integer(
        "window", \.window, in: 0...(1 << 30),
        "Attention window of modes mag and mal in tokens; 0 = all."),
    ])
}

extension ModelConfiguration {
  static let table = JSONTable<ModelConfiguration>(
    "libnested model configuration",
    [
      .choice("kind", \.kind, "Architecture."),
      .choice("task", \.task, "Next token, labels or numbers; kind cms: classify unless given."),
      .integer(
        "vocab", \.vocab, in: 0...(1 << 24), follows: "none, required unless inputs is given",
        "Number of tokens; 0 = the model reads vectors."),
      .integer("d_model", \.dModel, in: 1...65536, "Width of the model."),
      .integer("n_layers", \.nLayers, in: 1...1024, "Number of blocks."),
      .integer(
        "head_dim", \.headDim, in: 1...65536, follows: "min(64, d_model)", "Width of a head."),
      .integer(
        "n_heads", \.nHeads, in: 1...65536, follows: "d_model / head_dim", "Number of heads."),
      .integer(
        "n_kv_heads", \.nKVHeads, in: 1...65536, follows: "n_heads",
        "Number of key and value heads of attention."),
      .integer(
        "d_ff", \.dFF, in: 1...(1 << 20),
        follows: "8/3 d_model rounded up to a multiple of 16", "Width of a SwiGLU feed-forward."),
      .integer("inputs", \.inputs, in: 0...65536, "Numbers in an input vector (kind cms)."),
      .integer("outputs", \.outputs, in: 0...65536, "Numbers in an output vector (task regress)."),
      .integer("classes", \.classes, in: 0...(1 << 24), "Number of labels (task classify); 0 = none is known yet."),
      .flag("tie_embeddings", \.tieEmbeddings, "Whether the head is the embedding."),
      .number("norm_eps", \.normEps, in: .above(0, to: 1), "Added inside the root of RMSNorm."),
      .number("rope_theta", \.ropeTheta, in: .from(1, to: 1e12), "Base of the rotary embedding."),
      .object(
        "rope_scaling", \.ropeScaling, RotaryScaling.table, fresh: RotaryScaling(),
        "How rotary positions are scaled for longer texts."
      ).shown { $0.ropeScaling.type != .none },
      .integer("window", \.window, in: 0...(1 << 30), "Attention window in tokens; 0 = all."),
      .integer(
        "segment", \.segment, in: 1...(1 << 20),
        "Most tokens over which online learning differentiates."),
      .object(
        "memory", \.memory, MemoryConfiguration.table, fresh: MemoryConfiguration(),
        "The mixer of kind hope."),
      .object(
        "titans", \.titans, TitansConfiguration.table, fresh: TitansConfiguration(),
        "The mixer of kind titans."
      ).shown { $0.kind == .titans },
      .object(
        "cms", \.cms, CMSConfiguration.table, fresh: CMSConfiguration(),
        "The levels that take the place of the feed-forward."),
      .object(
        "head", \.head, HeadConfiguration.table, fresh: HeadConfiguration(),
        "The head of the tasks classify and regress: a level of its own."
      ).shown { $0.hasLabels },
    ])
}
