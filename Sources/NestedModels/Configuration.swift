internal import Glibc

/// Everything that decides a model's architecture (SPEC 7). Sizes that follow from others
/// (head_dim, n_heads, n_kv_heads, d_ff, a level's hidden) go on following them until they are set
/// themselves. The values here and in the parts are the defaults of the library.
package struct ModelConfiguration: Sendable {
  package var kind = ModelKind.hope
  package var vocab = 256  // V
  package var dModel = 256 { didSet { resolveLevels() } }  // D
  package var nLayers = 4  // L
  package var inputs = 0  // N, kind cms
  package var outputs = 0  // task regress
  package var classes = 0  // task classify; 0 = none is known yet
  package var head = HeadConfiguration()  // tasks classify and regress
  package var tieEmbeddings = true
  package var normEps: Float = 1e-6
  package var ropeTheta: Float = 10000
  package var window = 0  // tokens; 0 = all
  package var segment = 64  // tokens
  package var memory = MemoryConfiguration()
  package var titans = TitansConfiguration()
  package var cms: CMSConfiguration {
    get { storedCMS }
    set {
      storedCMS = newValue
      resolveLevels()
    }
  }

  private var storedCMS = CMSConfiguration()
  private var givenTask: ModelTask?
  private var givenHeadDim: Int?
  private var givenHeads: Int?
  private var givenKVHeads: Int?
  private var givenDFF: Int?

  package init(kind: ModelKind = .hope) {
    self.kind = kind
    if kind.readsVectors { vocab = 0 }
    resolveLevels()
  }

  /// lm; classify of a kind that reads vectors.
  package var task: ModelTask {
    get { givenTask ?? (kind.readsVectors ? .classify : .lm) }
    set { givenTask = newValue }
  }

  /// d: min(64, d_model); d_model / n_heads when only n_heads is given.
  package var headDim: Int {
    get { givenHeadDim ?? givenHeads.map { max(1, dModel / max(1, $0)) } ?? min(64, dModel) }
    set { givenHeadDim = newValue }
  }
  /// H: d_model / head_dim.
  package var nHeads: Int {
    get { givenHeads ?? max(1, dModel / max(1, headDim)) }
    set { givenHeads = newValue }
  }
  package var nKVHeads: Int {
    get { givenKVHeads ?? nHeads }
    set { givenKVHeads = newValue }
  }
  /// 8/3 d_model, rounded up to a multiple of 16.
  package var dFF: Int {
    get { givenDFF ?? (8 * dModel + 47) / 48 * 16 }
    set { givenDFF = newValue }
  }

  /// The CMS levels that the kind has.
  package var levels: [LevelConfiguration] { kind.hasLevels ? cms.levels : [] }

  /// L: what has a CMS or a mixer of its own. Kind cms is one Continuum Memory System.
  package var blockCount: Int { kind.readsVectors ? 1 : nLayers }

  /// Whether the head is a level, with labels to learn from; not the next token.
  package var hasLabels: Bool { task != .lm }

  /// Numbers that come out for a position.
  package var outputCount: Int {
    switch task {
    case .lm: vocab
    case .classify: classes
    case .regress: outputs
    }
  }

  /// C of everything that has a clock of its own: the CMS levels, fastest first, then the head where it is a level.
  package var periods: [Int] { levels.map(\.chunk) + (hasLabels ? [head.chunk] : []) }

  /// F: hidden width of an mlp memory.
  package var memoryHidden: Int { memory.expansion * headDim }

  /// F: hidden width of Titans' mlp memory.
  package var titansHidden: Int { titans.expansion * headDim }

  /// The last tokens, its own included, that a query of attention sees; 0 = all.
  var attentionSpan: Int {
    switch kind {
    case .titans: titans.mode == .mac ? titans.segment : titans.window
    default: window
    }
  }

  /// What the channels i and i + d/2 of a head turn by from token to token: theta^(-2 i / d), [d / 2].
  package var rotaryFrequencies: [Double] {
    (0..<headDim / 2).map { pow(Double(ropeTheta), -2 * Double($0) / Double(headDim)) }
  }

  private mutating func resolveLevels() {
    for i in storedCMS.levels.indices { storedCMS.levels[i].derivedHidden = 2 * dModel }
  }
}

extension ModelConfiguration: Equatable {
  /// Equal when the same is computed, whether a size was given or followed.
  package static func == (a: ModelConfiguration, b: ModelConfiguration) -> Bool {
    a.json == b.json
  }
}
