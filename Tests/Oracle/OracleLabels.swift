/// One row for the tasks classify and regress: what is read, and a label for the whole of it or for each position.
package struct OracleRow: Sendable {
  package enum Input: Sendable {
    case tokens([Int])
    case vectors([[Double]])
  }
  package var input: Input
  /// Label ids, or numbers; nil = not known. One entry: of the whole row, if `perRow`.
  package var classes: [Int?] = []
  package var numbers: [[Double?]] = []
  package var perRow = true

  package init(_ input: Input) { self.input = input }

  package var count: Int {
    switch input {
    case .tokens(let tokens): tokens.count
    case .vectors(let vectors): vectors.count
    }
  }

  /// The positions one by one, for a row with a label at each.
  var positions: [OracleRow] {
    (0..<count).map { t in
      var one = self
      switch input {
      case .tokens(let tokens): one.input = .tokens([tokens[t]])
      case .vectors(let vectors): one.input = .vectors([vectors[t]])
      }
      one.classes = classes.isEmpty ? [] : [classes[t]]
      one.numbers = numbers.isEmpty ? [] : [numbers[t]]
      return one
    }
  }
}

extension OracleNetwork {
  /// What the head answers to a row: one answer, or one for each position. Kind cms (SPEC 1) is Linear and levels.
  private mutating func answers(_ row: OracleRow) -> [[Num]] {
    var hidden: [[Num]] = []
    switch row.input {
    case .tokens(let tokens): for token in tokens { hidden.append(self.hidden(token)) }
    case .vectors(let vectors):
      let weight = parameters["input.weight"]!
      for x in vectors {
        hidden.append(
          levels("cms", tape.apply(Matrix(sizes.width, x.count, weight), x.map { Num($0) })))
      }
    }
    if !row.perRow { return hidden.map(answer) }
    var mean = hidden[0]
    for other in hidden.dropFirst() { mean = tape.add(mean, other) }
    return [answer(mean.map { tape.scale($0, 1 / Double(hidden.count)) })]
  }

  /// Cross-entropy over the labels in `seen`, or half the squared error over the numbers that are known.
  private func loss(_ answers: [[Num]], _ row: OracleRow, seen: Set<Int>) -> [Num] {
    var losses: [Num] = []
    for (place, y) in answers.enumerated() {
      if !row.classes.isEmpty, let label = row.classes[place] {
        let known = seen.sorted()
        losses.append(tape.negativeLogLikelihood(known.map { y[$0] }, known.firstIndex(of: label)!))
      }
      guard !row.numbers.isEmpty else { continue }
      for (j, target) in row.numbers[place].enumerated() where target != nil {
        let error = tape.subtract(y[j], Num(target!))
        losses.append(tape.scale(tape.multiply(error, error), 0.5))
      }
    }
    return losses
  }

  /// Fresh rows: the answers, the sum of the losses and its gradient by name.
  package static func label(
    _ sizes: Sizes, _ values: Values, rows: [OracleRow], labels: Int, _ make: MakeMixer
  ) -> (answers: [Double], loss: Double, gradients: Values) {
    var (answers, sum): ([Double], Values) = ([], [:])
    var loss = 0.0
    for row in rows {
      let tape = ScalarTape()
      var network = OracleNetwork(sizes, values, on: tape, gradients: true, make)
      let y = network.answers(row)
      answers += y.flatMap { $0.map(\.value) }
      let losses = network.loss(y, row, seen: Set(0..<labels))
      loss += losses.reduce(0) { $0 + $1.value }
      let gradient = tape.backward(losses.map { ($0, 1) })
      for (name, leaf) in network.parameters {
        let own = gradient.of(leaf)
        sum[name] = sum[name].map { zip($0, own).map { $0 + $1 } } ?? own
      }
    }
    return (answers, loss, sum)
  }

  /// A session that is taught (SPEC 3): `values` hold the head with room for every label that will come, its later rows 0.
  ///
  /// A row is one segment; of kind cms, which works on each input alone, a row with a label at each position is as many
  /// segments as it has positions. Gradients are taken at the parameters in force when the segment was read, levels whose
  /// period ends within it step, and so does the head.
  package static func teach(
    _ sizes: Sizes, _ start: Values, rows: [OracleRow], labels: Int, levels: [OracleOptions.Level],
    head: OracleOptions.Level, variant: OracleOptions.Variant, rules: (OracleOptions.LevelRule) -> OracleOptimizer,
    _ make: MakeMixer
  ) -> (losses: [Double], values: Values) {
    var (values, pending): (Values, Values) = (start, [:])
    var losses: [Double] = []
    var seen = Set(0..<labels)
    var clock = 0
    let paths = sizes.layers == 0 ? ["cms"] : (0..<sizes.layers).map { "blocks.\($0).cms" }
    var slots: [(level: OracleOptions.Level, names: [String], optimizer: OracleOptimizer, slower: Int?)] = []
    for path in paths {
      for (l, level) in levels.enumerated() {
        let names = start.keys.filter { $0.hasPrefix("\(path).\(l).") }.sorted()
        let hasSlower = variant == .nested && l + 1 < levels.count
        slots.append((level, names, rules(level.optimizer), hasSlower ? slots.count + 1 : nil))
      }
    }
    slots.append((head, ["head.weight"], rules(head.optimizer), nil))
    for row in rows {
      var isVector = false
      if case .vectors = row.input { isVector = true }
      var sum = 0.0
      for segment in isVector && !row.perRow ? row.positions : [row] {
        seen.formUnion(segment.classes.compactMap { $0 })
        let tape = ScalarTape()
        var network = OracleNetwork(sizes, values, on: tape, gradients: true, make)
        let own = network.loss(network.answers(segment), segment, seen: seen)
        sum += own.reduce(0) { $0 + $1.value }
        let gradient = tape.backward(own.map { ($0, 1) })
        let before = clock
        clock += segment.count
        func isDue(_ level: OracleOptions.Level) -> Bool {
          level.chunk > 0 && clock / level.chunk > before / level.chunk
        }
        for i in slots.indices where slots[i].level.chunk > 0 {
          for name in slots[i].names where !own.isEmpty {
            let g = gradient.of(network.parameters[name]!)
            pending[name] = pending[name].map { zip($0, g).map { $0 + $1 } } ?? g
          }
          let mine = pending.filter { slots[i].names.contains($0.key) }
          guard isDue(slots[i].level), !mine.isEmpty else { continue }
          let scale = min(1, slots[i].level.clip / globalNorm(mine))
          slots[i].optimizer.step(
            &values, mine.mapValues { $0.map { $0 * scale } }, lr: slots[i].level.lr, decays: { _ in false })
          for name in slots[i].names { pending[name] = nil }
        }
        for i in slots.indices {
          guard let slower = slots[i].slower, isDue(slots[slower].level) else { continue }
          for name in slots[i].names { values[name] = start[name]! }
          slots[i].optimizer = rules(slots[i].level.optimizer)
        }
      }
      losses.append(sum)
    }
    return (losses, values)
  }
}
