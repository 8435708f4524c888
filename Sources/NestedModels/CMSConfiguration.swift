package import NestedLearning

package enum CMSVariant: String, CaseIterable, Sendable { case sequential, nested, independent }
package enum MLPKind: String, CaseIterable, Sendable { case swiglu, gelu }
package enum MetaLearning: String, CaseIterable, Sendable {
  case none
  case firstOrder = "first-order"
  case exact
}

/// A level may name any optimizer of SPEC 4.
package typealias LevelOptimizer = OptimizerSettings.Name

/// One level of a Continuum Memory System (SPEC 3). The values here are the defaults of the
/// library.
package struct LevelConfiguration: Equatable, Sendable {
  package var chunk: Int  // period C in tokens; 0 = never updates online
  package var optimizer: LevelOptimizer
  package var lr: Float
  package var clip: Float

  /// Width of the level's MLP: 2 · d_model until it is given. The model's configuration keeps
  /// `derivedHidden` up to date.
  package var hidden: Int {
    get { givenHidden ?? derivedHidden }
    set { givenHidden = newValue }
  }
  private var givenHidden: Int?
  var derivedHidden = 512

  package init(
    chunk: Int = 64, hidden: Int? = nil, optimizer: LevelOptimizer = .sgd,
    lr: Float = 0.01, clip: Float = 1
  ) {
    self.chunk = chunk
    self.optimizer = optimizer
    self.lr = lr
    self.clip = clip
    givenHidden = hidden
  }

  /// Equal when the same is computed, whether a width was given or followed.
  package static func == (a: LevelConfiguration, b: LevelConfiguration) -> Bool {
    a.chunk == b.chunk && a.hidden == b.hidden && a.optimizer == b.optimizer
      && a.lr == b.lr && a.clip == b.clip
  }
}

/// The head of a classifier or a regression: a level of its own, last in the chain (SPEC 1).
package struct HeadConfiguration: Equatable, Sendable {
  package var chunk = 1  // period in inputs; 0 = never updates online
  package var optimizer = LevelOptimizer.sgd
  package var lr: Float = 0.1
  package var clip: Float = 1

  package init() {}
}

/// A Continuum Memory System: K levels, fastest first.
package struct CMSConfiguration: Equatable, Sendable {
  package var variant = CMSVariant.sequential
  package var mlp = MLPKind.swiglu
  package var meta = MetaLearning.none
  package var levels = [
    LevelConfiguration(chunk: 64),
    LevelConfiguration(chunk: 1024, lr: 0.003),
    LevelConfiguration(chunk: 0),
  ]

  package init() {}
}
