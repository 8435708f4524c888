/// One parameter: its permanent name (SPEC 7), its shape and its place in the flat vector of all
/// weights.
package struct ParameterEntry: Equatable, Sendable {
  package let name: String
  package let shape: [Int]
  package let offset: Int  // first element in the flat vector
  package let count: Int
  package let layer: Int  // block, or -1
  package let level: Int  // CMS level, 0 = fastest, or -1; a head that is a level: layer L, level 0
  /// Its place among `ModelConfiguration.periods`: its CMS level, behind them the head; -1 where it is no level.
  package let clock: Int
  /// Whether weight decay applies (SPEC 4): two or more dimensions, but not embed, conv, the memories' initial states, and
  /// persistent keys and values, which are tokens as the rows of embed are.
  package let decays: Bool
  package let initial: InitialValue
}

/// The distribution of a parameter's initial values (SPEC 2, "Initialisation").
package enum InitialValue: Equatable, Sendable {
  case constant(Float)
  case normal(deviation: Float)
  /// The last of `taps`, which is the current token's, is 1; the others are normal.
  case convolution(taps: Int, deviation: Float)
  /// ln of a number between 0 and `below`.
  case logarithmOfUniform(below: Double)
  /// What softplus makes a step of: the step is log-uniform (Gated DeltaNet, Mamba).
  case timeStep(from: Double, to: Double)

  /// Variance `variance / fanIn`.
  static func normal(variance: Double, fanIn: Int) -> InitialValue {
    .normal(deviation: Float((variance / Double(fanIn)).squareRoot()))
  }
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
    builder.add(configuration)
    entries = builder.entries
    count = builder.count
    indices = builder.indices
  }

  package func index(of name: String) -> Int? { indices[name] }
}

extension ParameterLayout {
  /// Collects the entries; layers add their own.
  struct Builder {
    fileprivate var entries: [ParameterEntry] = []
    fileprivate var indices: [String: Int] = [:]
    fileprivate var count = 0
    private var layer = -1

    mutating func add(
      _ name: String, _ shape: [Int], _ initial: InitialValue, decays: Bool = false, level: Int = -1,
      clock: Int? = nil
    ) {
      let size = shape.reduce(1, *)
      indices[name] = entries.count
      entries.append(
        ParameterEntry(
          name: name, shape: shape, offset: count, count: size, layer: layer, level: level,
          clock: clock ?? level, decays: decays, initial: initial))
      count += size
    }

    /// A projection [outputs, inputs]: N(0, 1 / inputs).
    mutating func addProjection(_ name: String, _ outputs: Int, _ inputs: Int, level: Int = -1) {
      add(name, [outputs, inputs], .normal(variance: 1, fanIn: inputs), decays: true, level: level)
    }

    /// The last projection of a residual branch [outputs, inputs]: N(0, 1 / (2 L inputs)).
    mutating func addOutput(
      _ name: String, _ outputs: Int, _ inputs: Int, _ c: ModelConfiguration, level: Int = -1
    ) {
      add(
        name, [outputs, inputs], .normal(variance: 0.5, fanIn: c.blockCount * inputs), decays: true,
        level: level)
    }

    fileprivate mutating func add(_ c: ModelConfiguration) {
      let embed = InitialValue.normal(deviation: 0.02)
      let architecture = c.kind.architecture
      if c.kind.readsVectors {
        addProjection("input.weight", c.dModel, c.inputs)
      } else {
        add("embed.weight", [c.vocab, c.dModel], embed)
      }
      for i in 0..<c.blockCount {
        layer = i
        architecture?.mixer?.addParameters(to: &self, "blocks.\(i).mixer", c)
        architecture?.feedForward.addParameters(to: &self, block: i, c)
      }
      layer = -1
      add("norm.weight", [c.dModel], .constant(1))
      if c.hasLabels {
        layer = c.blockCount
        add(
          "head.weight", [c.outputCount, c.dModel], .constant(0), decays: true, level: 0,
          clock: c.levels.count)
        return
      }
      // The page gives no distribution for a head of its own; the field takes the embedding's.
      if !c.tieEmbeddings { add("head.weight", [c.vocab, c.dModel], embed, decays: true) }
    }
  }
}
