package import NestedBase

/// The targets of a batch: given ones, or each row's next token, with none for the last.
package struct TargetRows {
  private let values: [Int32]  // [B T], -1 = no target

  package init(_ tokens: Tokens, _ targets: Tokens?, batch: Int, length: Int) {
    values = (0..<batch * length).map { i in
      if let targets { return targets[i] }
      return (i + 1) % length == 0 ? -1 : tokens[i + 1]
    }
  }

  /// Targets that count: their number, or the sum of their weights.
  package func count(_ weights: Floats?) -> Double {
    var sum = 0.0
    for (i, value) in values.enumerated() where value >= 0 { sum += Double(weights?[i] ?? 1) }
    return sum
  }

  package func withTokens<R>(_ body: (Tokens) throws(NestedError) -> R) throws(NestedError) -> R {
    try unsafe values.withUnsafeBufferPointer { (buffer) throws(NestedError) -> R in
      guard let base = buffer.baseAddress else {
        throw NestedError(.argument, "a batch needs at least one token")
      }
      return try unsafe body(Tokens(base))
    }
  }
}
