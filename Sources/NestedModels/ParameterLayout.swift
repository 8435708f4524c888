/// One parameter: its permanent name (SPEC 7), its shape and its place in the flat vector of all
/// weights.
package struct ParameterEntry: Equatable, Sendable {
  package let name: String
  package let shape: [Int]
  package let offset: Int  // first element in the flat vector
  package let count: Int
  package let layer: Int  // block, or -1
  package let level: Int  // CMS level, 0 = fastest, or -1
  /// Whether weight decay applies (SPEC 4): two or more dimensions, but not embed, conv and the
  /// memories' initial states.
  package let decays: Bool
  package let initial: InitialValue
}

/// The distribution of a parameter's initial values (SPEC 2, "Initialisation").
package enum InitialValue: Equatable, Sendable {
  case constant(Float)
  case normal(deviation: Float)
  /// The last of `taps`, which is the current token's, is 1; the others are normal.
  case convolution(taps: Int, deviation: Float)
}

/// All parameters of a configuration, in the order in which the forward pass meets them. The flat
/// vectors of weights, gradients and optimizer states have this order.
package struct ParameterLayout: Sendable {
  package let entries: [ParameterEntry]
  package let count: Int  // elements of the flat vector
  private let indices: [String: Int]  // asked, never walked

  /// For a configuration that `validate()` accepts.
  package init(_ configuration: ModelConfiguration) {
    var builder = Builder()
    builder.addHope(configuration)
    entries = builder.entries
    count = builder.count
    indices = builder.indices
  }

  package func index(of name: String) -> Int? { indices[name] }
}

extension ParameterLayout {
  fileprivate struct Builder {
    var entries: [ParameterEntry] = []
    var indices: [String: Int] = [:]
    var count = 0
    var layer = -1
    var level = -1

    mutating func add(_ name: String, _ shape: [Int], _ initial: InitialValue, decays: Bool = false)
    {
      let size = shape.reduce(1, *)
      indices[name] = entries.count
      entries.append(
        ParameterEntry(
          name: name, shape: shape, offset: count, count: size, layer: layer, level: level,
          decays: decays, initial: initial))
      count += size
    }

    /// Variance `variance / fanIn`.
    func normal(_ variance: Double, fanIn: Int) -> InitialValue {
      .normal(deviation: Float((variance / Double(fanIn)).squareRoot()))
    }

    mutating func addHope(_ c: ModelConfiguration) {
      let embed = InitialValue.normal(deviation: 0.02)
      add("embed.weight", [c.vocab, c.dModel], embed)
      for i in 0..<c.nLayers {
        layer = i
        addMixer("blocks.\(i).mixer", c)
        for l in c.cms.levels.indices {
          level = l
          addLevel("blocks.\(i).cms.\(l)", c, hidden: c.cms.levels[l].hidden)
        }
        level = -1
      }
      layer = -1
      add("norm.weight", [c.dModel], .constant(1))
      // The page gives no distribution for a head of its own; the field takes the embedding's.
      if !c.tieEmbeddings { add("head.weight", [c.vocab, c.dModel], embed, decays: true) }
    }

    /// Self-modifying Titans (SPEC 2).
    mutating func addMixer(_ path: String, _ c: ModelConfiguration) {
      let width = c.dModel
      let projection = normal(1, fanIn: width)
      var inputs = ["q"]
      var convolutions = ["q", "u"]
      if c.memory.inputProjection != .none { inputs.append("u") }
      if c.memory.inputProjection == .separate {
        inputs.append("v")
        convolutions.append("v")
      }
      add("\(path).norm.weight", [width], .constant(1))
      for name in inputs {
        add("\(path).\(name).weight", [width, width], projection, decays: true)
      }
      for name in convolutions {
        add("\(path).\(name)_conv.weight", [width, 4], .convolution(taps: 4, deviation: 0.1))
      }
      if c.memory.adaptiveQ { addMemory(path, "q", outputs: c.headDim, c) }
      addMemory(path, "k", outputs: c.headDim, c)
      addMemory(path, "v", outputs: c.headDim, c)
      addMemory(path, "eta", outputs: 1, c)
      add("\(path).eta_bias", [c.nHeads], .constant(MemoryConfiguration.initialEtaBias))
      addMemory(path, "alpha", outputs: 1, c)
      add("\(path).alpha_bias", [c.nHeads], .constant(MemoryConfiguration.initialAlphaBias))
      addMemory(path, "mem", outputs: c.headDim, c)
      add("\(path).head_norm.weight", [width], .constant(1))
      add("\(path).gate.weight", [width, width], projection, decays: true)
      add(
        "\(path).out.weight", [width, width], normal(0.5, fanIn: c.nLayers * width), decays: true)
    }

    /// The initial state of one memory: linear w [H, outputs, d]; mlp w2 [H, F, d], then w1 [H,
    /// outputs, F].
    mutating func addMemory(_ path: String, _ name: String, outputs: Int, _ c: ModelConfiguration) {
      let path = "\(path).memory.\(name)"
      let (heads, d, hidden) = (c.nHeads, c.headDim, c.memoryHidden)
      switch c.memory.type {
      case .linear: add("\(path).w", [heads, outputs, d], normal(0.01, fanIn: d))
      case .mlp:
        add("\(path).w2", [heads, hidden, d], normal(1, fanIn: d))
        add("\(path).w1", [heads, outputs, hidden], normal(0.01, fanIn: hidden))
      }
    }

    /// One CMS level (SPEC 3).
    mutating func addLevel(_ path: String, _ c: ModelConfiguration, hidden: Int) {
      let width = c.dModel
      let projection = normal(1, fanIn: width)
      add("\(path).norm.weight", [width], .constant(1))
      if c.cms.mlp == .swiglu {
        add("\(path).gate.weight", [hidden, width], projection, decays: true)
      }
      add("\(path).up.weight", [hidden, width], projection, decays: true)
      add(
        "\(path).down.weight", [width, hidden], normal(0.5, fanIn: c.nLayers * hidden), decays: true
      )
    }
  }
}
