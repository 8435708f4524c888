/// The memories alone: what the library's scan does between the convolutions and the head norm.
package struct OracleScan: Sendable {
  /// Rows of a stream for all heads side by side, [T][H d]; q is l2-normalised, or u_q with adaptive_q.
  package struct Rows: Sendable {
    package var u: [[Double]]
    package var uv: [[Double]]
    package var q: [[Double]]
    package init(u: [[Double]], uv: [[Double]], q: [[Double]]) {
      self.u = u
      self.uv = uv
      self.q = q
    }
  }

  package var o: [[Double]] = []  // [T][H d]
  package var state: OracleMixerState
  /// "u", "uv", "q": [T H d]; every memory and bias by its name within the mixer.
  package var gradients: [String: [Double]] = [:]

  /// Rows from `from` on, after the constant rows before them; gradients of Σ dO · o over those rows.
  /// With `writes` false those rows read only.
  package static func run(
    _ o: OracleOptions, _ values: [String: [Double]], _ rows: Rows, from: Int = 0,
    writes: Bool = true,
    dO: [[Double]]
  ) -> OracleScan {
    let tape = ScalarTape()
    let prefix = "blocks.0.mixer."
    let isLeaf = { (name: String) in
      from == 0 && name.hasPrefix(prefix)
        && (name.contains("memory.") || name.hasSuffix("eta_bias") || name.hasSuffix("alpha_bias"))
    }
    var parameters: [String: [Num]] = [:]
    for (name, _) in o.parameterShapes {
      let value = values[name]!
      parameters[name] = isLeaf(name) ? value.map(tape.leaf) : value.map(Num.init)
    }
    let mixer = OracleMixer(o, layer: 0, parameters)
    var state = OracleMixer.initialState(o, layer: 0, parameters)
    var leaves: [String: [Num]] = ["u": [], "uv": [], "q": []]
    var outputs: [[Double]] = []
    var seeds: [(Num, Double)] = []
    for t in rows.u.indices {
      if t == from, from > 0 { state.makeConstant() }
      let live = t >= from
      let u = rows.u[t].map { live ? tape.leaf($0) : Num($0) }
      let uv = rows.uv[t].map { live ? tape.leaf($0) : Num($0) }
      let q = rows.q[t].map { live ? tape.leaf($0) : Num($0) }
      var out: [Num] = []
      for h in 0..<o.heads {
        let range = h * o.headDim..<(h + 1) * o.headDim
        out += mixer.scan(
          tape, OracleScanInput(q: Array(q[range]), u: Array(u[range]), uv: Array(uv[range])),
          head: h,
          position: t, &state, write: writes || !live)
      }
      guard live else { continue }
      outputs.append(out.map(\.value))
      seeds += zip(out, dO[t - from])
      leaves["u"]! += u
      leaves["uv"]! += uv
      leaves["q"]! += q
    }
    let gradient = tape.backward(seeds)
    var result = OracleScan(o: outputs, state: state)
    for (name, value) in leaves { result.gradients[name] = gradient.of(value) }
    for (name, value) in parameters where isLeaf(name) {
      result.gradients[String(name.dropFirst(prefix.count))] = gradient.of(value)
    }
    return result
  }

  /// Values only: all rows of a stream, those in `off` without writing.
  package static func pausing(
    _ o: OracleOptions, _ values: [String: [Double]], _ rows: Rows, off: Range<Int>
  ) -> OracleScan {
    let tape = ScalarTape()
    let parameters = values.mapValues { $0.map(Num.init) }
    let mixer = OracleMixer(o, layer: 0, parameters)
    var result = OracleScan(state: OracleMixer.initialState(o, layer: 0, parameters))
    for t in rows.u.indices {
      var out: [Double] = []
      for h in 0..<o.heads {
        let range = h * o.headDim..<(h + 1) * o.headDim
        let x = OracleScanInput(
          q: rows.q[t][range].map(Num.init), u: rows.u[t][range].map(Num.init),
          uv: rows.uv[t][range].map(Num.init))
        out += mixer.scan(tape, x, head: h, position: t, &result.state, write: !off.contains(t))
          .map(\.value)
      }
      result.o.append(out)
    }
    return result
  }
}
