package import NestedBase

/// y[r] = table[tokens[r]]
package func embeddingForward(
  _ y: Floats,  // [rows, d]
  _ table: Floats,  // [V, d]
  _ tokens: Tokens,  // [rows], each in 0 ..< V
  _ rows: Int, _ d: Int
) {
  for r in 0..<rows { (y + r * d).copy(from: table + Int(tokens[r]) * d, count: d) }
}

/// dTable[tokens[r]] += dy[r], row after row
package func embeddingBackward(
  _ dTable: Floats,  // [V, d] +=
  _ dy: Floats,  // [rows, d]
  _ tokens: Tokens,  // [rows]
  _ rows: Int, _ d: Int
) {
  for r in 0..<rows {
    let row = dTable + Int(tokens[r]) * d
    add(row, row, dy + r * d, d)
  }
}
