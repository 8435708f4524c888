/// Up to four dimensions, row-major and dense.
package struct Shape: Equatable, Sendable, CustomStringConvertible {
  package let rank: Int
  private let d0: Int, d1: Int, d2: Int, d3: Int

  package init(_ a: Int) { (rank, d0, d1, d2, d3) = (1, a, 1, 1, 1) }
  package init(_ a: Int, _ b: Int) { (rank, d0, d1, d2, d3) = (2, a, b, 1, 1) }
  package init(_ a: Int, _ b: Int, _ c: Int) { (rank, d0, d1, d2, d3) = (3, a, b, c, 1) }
  package init(_ a: Int, _ b: Int, _ c: Int, _ d: Int) { (rank, d0, d1, d2, d3) = (4, a, b, c, d) }

  package init(_ sizes: [Int]) {
    precondition((1...4).contains(sizes.count), "[Shape] expected 1 to 4 dimensions, got \(sizes)")
    rank = sizes.count
    d0 = sizes[0]
    d1 = sizes.count > 1 ? sizes[1] : 1
    d2 = sizes.count > 2 ? sizes[2] : 1
    d3 = sizes.count > 3 ? sizes[3] : 1
  }

  private init(rank: Int, _ d0: Int, _ d1: Int, _ d2: Int, _ d3: Int) {
    (self.rank, self.d0, self.d1, self.d2, self.d3) = (rank, d0, d1, d2, d3)
  }

  package var count: Int { d0 * d1 * d2 * d3 }

  package subscript(_ axis: Int) -> Int {
    switch axis {
    case 0: return d0
    case 1: return d1
    case 2: return d2
    default: return d3
    }
  }

  package var sizes: [Int] { (0..<rank).map { self[$0] } }
  package var last: Int { self[rank - 1] }

  package func replacing(_ axis: Int, with size: Int) -> Shape {
    Shape(
      rank: rank, axis == 0 ? size : d0, axis == 1 ? size : d1, axis == 2 ? size : d2,
      axis == 3 ? size : d3)
  }

  /// Elements per step of `axis`.
  package func stride(_ axis: Int) -> Int {
    var stride = 1
    var inner = rank - 1
    while inner > axis {
      stride *= self[inner]
      inner -= 1
    }
    return stride
  }

  package var description: String { "\(sizes)" }
}
