/// A mixer of SPEC 1 for one stream, token by token. A value: a copy is a fork of the stream.
package protocol OracleStreamMixer {
  /// Mixer(n) for the next token; n [D] is normalised already.
  mutating func step(_ tape: ScalarTape, _ n: [Num], position: Int) -> [Num]
}

/// A language model of any kind but `hope` (SPEC 1), whose blocks end in an MLP: pre-norm residual blocks between an
/// embedding and logits. Shapes are read off the parameters.
package struct OracleNetwork {
  package typealias Values = [String: [Double]]
  /// The parameters under a block's "mixer." by their names, and the tape; makes the mixer of a fresh stream.
  package typealias MakeMixer = (_ parameters: [String: [Num]], _ tape: ScalarTape) -> any OracleStreamMixer

  package struct Sizes: Sendable {
    package var vocab = 23, width = 16, layers = 2
    package var eps = 1e-6
    package init() {}
  }

  let sizes: Sizes
  let tape: ScalarTape
  package private(set) var parameters: [String: [Num]]
  private var mixers: [any OracleStreamMixer]
  private var position = 0

  /// Every parameter is a leaf if `gradients`.
  package init(_ sizes: Sizes, _ values: Values, on tape: ScalarTape, gradients: Bool, _ make: MakeMixer) {
    self.sizes = sizes
    self.tape = tape
    // In the order of the names: what the tape records does not depend on a dictionary.
    var parameters: [String: [Num]] = [:]
    for name in values.keys.sorted() {
      parameters[name] = values[name]!.map { gradients ? tape.leaf($0) : Num($0) }
    }
    self.parameters = parameters
    mixers = (0..<sizes.layers).map { layer in
      let prefix = "blocks.\(layer).mixer."
      var own: [String: [Num]] = [:]
      for (name, value) in parameters where name.hasPrefix(prefix) {
        own[String(name.dropFirst(prefix.count))] = value
      }
      return make(own, tape)
    }
  }

  /// Puts others in place of the levels' parameters.
  mutating func setLevels(_ value: (String) -> [Num]) {
    for name in parameters.keys.sorted() where OracleTrainer.level(of: name) >= 0 { parameters[name] = value(name) }
  }

  /// Reads one token: logits [V].
  package mutating func step(_ token: Int) -> [Num] { answer(hidden(token)) }

  /// Reads one token: the last block's output [D].
  mutating func hidden(_ token: Int) -> [Num] {
    let D = sizes.width
    let embed = Matrix(sizes.vocab, D, parameters["embed.weight"]!)
    var x = Array(embed.data[token * D..<(token + 1) * D])
    for i in 0..<sizes.layers {
      let n = tape.rmsNorm(x, parameters["blocks.\(i).mixer.norm.weight"]!, sizes.eps)
      x = tape.add(x, mixers[i].step(tape, n, position: position))
      if parameters["blocks.\(i).ffn.norm.weight"] != nil { x = mlp("blocks.\(i).ffn", x) }
      x = levels("blocks.\(i).cms", x)
    }
    position += 1
    return x
  }

  /// RMSNorm and head.
  func answer(_ x: [Num]) -> [Num] {
    let y = tape.rmsNorm(x, parameters["norm.weight"]!, sizes.eps)
    let head = parameters["head.weight"] ?? parameters["embed.weight"]!
    return tape.apply(Matrix(head.count / sizes.width, sizes.width, head), y)
  }

  /// The levels under `path`, as many as there are, one after the other or side by side (SPEC 3).
  func levels(_ path: String, _ h: [Num]) -> [Num] {
    var z = h
    var parts: [[Num]] = []
    while parameters["\(path).\(parts.count).norm.weight"] != nil {
      parts.append(branch("\(path).\(parts.count)", parameters["\(path).mix"] == nil ? z : h))
      z = tape.add(z, parts.last!)
    }
    return parameters["\(path).mix"].map { tape.mixture(h, parts, $0) } ?? z
  }

  private func mlp(_ path: String, _ h: [Num]) -> [Num] { tape.add(h, branch(path, h)) }

  private func branch(_ path: String, _ h: [Num]) -> [Num] {
    func matrix(_ name: String, in width: Int) -> Matrix? {
      parameters["\(path).\(name).weight"].map { Matrix($0.count / width, width, $0) }
    }
    let n = tape.rmsNorm(h, parameters["\(path).norm.weight"]!, sizes.eps)
    let up = tape.apply(matrix("up", in: sizes.width)!, n)
    let hidden =
      matrix("gate", in: sizes.width).map { tape.multiply(tape.silu(tape.apply($0, n)), up) } ?? tape.gelu(up)
    return tape.apply(matrix("down", in: up.count)!, hidden)
  }

  /// Fresh rows: logits [T V] of each, the sum of the losses of the next tokens, and its gradient by name.
  package static func run(
    _ sizes: Sizes, _ values: Values, rows: [[Int]], gradients: Bool, _ make: MakeMixer
  ) -> (logits: [Double], loss: Double, gradients: Values) {
    var logits: [Double] = []
    var loss = 0.0
    var sum: Values = [:]
    for row in rows {
      let tape = ScalarTape()
      var network = OracleNetwork(sizes, values, on: tape, gradients: gradients, make)
      var seeds: [(Num, Double)] = []
      for (t, token) in row.enumerated() {
        let y = network.step(token)
        logits += y.map(\.value)
        if t + 1 < row.count { seeds.append((tape.negativeLogLikelihood(y, row[t + 1]), 1)) }
      }
      loss += seeds.reduce(0) { $0 + $1.0.value }
      guard gradients else { continue }
      let gradient = tape.backward(seeds)
      for (name, leaf) in network.parameters {
        let own = gradient.of(leaf)
        sum[name] = sum[name].map { zip($0, own).map { $0 + $1 } } ?? own
      }
    }
    return (logits, loss, sum)
  }
}
