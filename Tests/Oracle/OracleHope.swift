/// Hope (SPEC 1, 2, 3), one token at a time.
package struct OracleHope: Sendable {
  package let options: OracleOptions
  /// SPEC 7's names → tape numbers: leaves where a gradient is wanted, constants elsewhere.
  package private(set) var parameters: [String: [Num]]
  let mixers: [OracleMixer]

  package struct State: Sendable {
    package var position = 0
    package var layers: [OracleMixerState]

    package mutating func makeConstant() {
      for i in layers.indices { layers[i].makeConstant() }
    }
  }

  /// `isLeaf` says which parameters get a gradient.
  package init(
    _ options: OracleOptions, _ values: [String: [Double]], on tape: ScalarTape,
    isLeaf: (String) -> Bool = { _ in false }
  ) {
    var parameters: [String: [Num]] = [:]
    for (name, shape) in options.parameterShapes {
      guard let value = values[name], value.count == shape.reduce(1, *) else {
        preconditionFailure("oracle: \(name) is missing or is not \(shape)")
      }
      parameters[name] = isLeaf(name) ? value.map(tape.leaf) : value.map(Num.init)
    }
    self.options = options
    self.parameters = parameters
    self.mixers = (0..<options.layers).map { OracleMixer(options, layer: $0, parameters) }
  }

  /// The same model with other levels.
  func with(levels: [String: [Num]]) -> OracleHope {
    var copy = self
    copy.parameters.merge(levels) { $1 }
    return copy
  }

  package func initialState() -> State {
    State(
      layers: (0..<options.layers).map { OracleMixer.initialState(options, layer: $0, parameters) })
  }

  /// Reads one token: logits [V].
  package func step(_ tape: ScalarTape, _ token: Int, _ state: inout State, write: Bool = true)
    -> [Num]
  {
    let o = options
    let D = o.width
    let embed = Matrix(o.vocab, D, parameters["embed.weight"]!)
    var x = Array(embed.data[token * D..<(token + 1) * D])
    for i in 0..<o.layers {
      let n = tape.rmsNorm(x, mixers[i].norm, o.normEps)
      let mixed = mixers[i].step(
        tape, n, position: state.position, &state.layers[i], write: write)
      var z = tape.add(x, mixed)
      if o.variant == .independent {
        x = tape.mixture(
          z, o.levels.indices.map { level(tape, i, $0, z) }, parameters["blocks.\(i).cms.mix"]!)
      } else {
        for l in o.levels.indices { z = tape.add(z, level(tape, i, l, z)) }
        x = z
      }
    }
    state.position += 1
    let y = tape.rmsNorm(x, parameters["norm.weight"]!, o.normEps)
    return tape.apply(o.tied ? embed : Matrix(o.vocab, D, parameters["head.weight"]!), y)
  }

  /// MLP_l(RMSNorm_l(z))
  private func level(_ tape: ScalarTape, _ block: Int, _ l: Int, _ z: [Num]) -> [Num] {
    let path = "blocks.\(block).cms.\(l)"
    let D = options.width
    let F = options.levels[l].hidden
    func matrix(_ name: String, _ rows: Int, _ cols: Int) -> Matrix {
      Matrix(rows, cols, parameters["\(path).\(name).weight"]!)
    }
    let n = tape.rmsNorm(z, parameters["\(path).norm.weight"]!, options.normEps)
    let up = tape.apply(matrix("up", F, D), n)
    let hidden: [Num]
    switch options.feed {
    case .swiglu: hidden = tape.multiply(tape.silu(tape.apply(matrix("gate", F, D), n)), up)
    case .gelu: hidden = tape.gelu(up)
    }
    return tape.apply(matrix("down", D, F), hidden)
  }
}

/// One row read as a fresh stream at position 0.
package struct OracleRun: Sendable {
  package var logits: [[Double]] = []  // [T][V]
  package var losses: [Double] = []  // [T], 0 where there is no target
  package var state: OracleHope.State
  /// d(Σ weight · loss)/d(parameter), by name; empty when no gradient was asked for.
  package var gradients: [String: [Double]] = [:]
}

extension OracleHope {
  /// Forward of one row and, with `gradients`, the gradient of Σ_t weights[t] · loss_t.
  /// `targets` [T], -1 = none; nil = the next token of the row.
  package static func run(
    _ options: OracleOptions, _ values: [String: [Double]], _ tokens: [Int],
    targets: [Int]? = nil, weights: [Double]? = nil, gradients: Bool
  ) -> OracleRun {
    let tape = ScalarTape()
    let model = OracleHope(options, values, on: tape) { _ in gradients }
    var state = model.initialState()
    let targets = targets ?? (tokens.dropFirst() + [-1])
    var logits: [[Double]] = []
    var losses: [Double] = []
    var seeds: [(Num, Double)] = []
    for (t, token) in tokens.enumerated() {
      let out = model.step(tape, token, &state)
      logits.append(out.map(\.value))
      if targets[t] >= 0 {
        let loss = tape.negativeLogLikelihood(out, targets[t])
        losses.append(loss.value)
        seeds.append((loss, weights?[t] ?? 1))
      } else {
        losses.append(0)
      }
    }
    var result = OracleRun(logits: logits, losses: losses, state: state)
    if gradients {
      let g = tape.backward(seeds)
      for (name, value) in model.parameters { result.gradients[name] = g.of(value) }
    }
    return result
  }
}
