/// Reverse-mode automatic differentiation on scalars in Double, as plain as it can be.
///
/// A `Num` is a value and the index of its node; index -1 marks a constant. An operation on constants
/// alone makes a constant and records nothing, so the same code without leaves is a forward pass.
package struct Num: Sendable {
  package var value: Double
  var node: Int32

  package init(_ value: Double) {
    self.value = value
    self.node = -1
  }
  init(value: Double, node: Int32) {
    self.value = value
    self.node = node
  }

  /// The same value with no past.
  package var constant: Num { Num(value) }
}

/// The nodes, flat: node i owns the edges `edgeEnd[i-1]..<edgeEnd[i]`, each a parent and d(node)/d(parent).
package final class ScalarTape {
  private var edgeEnd: [Int32] = []
  private var parents: [Int32] = []
  private var partials: [Double] = []

  package init() {}

  package var count: Int { edgeEnd.count }

  package func leaf(_ value: Double) -> Num {
    edgeEnd.append(Int32(parents.count))
    return Num(value: value, node: Int32(edgeEnd.count - 1))
  }

  /// Adds an edge to the node under construction; constants have none.
  func edge(_ parent: Num, _ partial: Double) {
    if parent.node >= 0 {
      parents.append(parent.node)
      partials.append(partial)
    }
  }

  /// Closes the node under construction.
  func close(_ value: Double) -> Num {
    let start = edgeEnd.last ?? 0
    if parents.count == Int(start) { return Num(value) }
    edgeEnd.append(Int32(parents.count))
    return Num(value: value, node: Int32(edgeEnd.count - 1))
  }

  /// d(Σ seed · output)/d(node) for every node; look values up with `Gradient.of`.
  package func backward(_ seeds: [(Num, Double)]) -> Gradient {
    var adjoint = [Double](repeating: 0, count: edgeEnd.count)
    for (output, seed) in seeds where output.node >= 0 { adjoint[Int(output.node)] += seed }
    var i = edgeEnd.count - 1
    while i >= 0 {
      let a = adjoint[i]
      if a != 0 {
        let start = i == 0 ? 0 : Int(edgeEnd[i - 1])
        for e in start..<Int(edgeEnd[i]) { adjoint[Int(parents[e])] += a * partials[e] }
      }
      i -= 1
    }
    return Gradient(adjoint: adjoint)
  }
}

package struct Gradient {
  let adjoint: [Double]
  package func of(_ x: Num) -> Double { x.node < 0 ? 0 : adjoint[Int(x.node)] }
  package func of(_ x: [Num]) -> [Double] { x.map(of) }
}
