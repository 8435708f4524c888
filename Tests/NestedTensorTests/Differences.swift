import Oracle

/// Which elements of the inputs a gradient check looks at: all while there are few, else a fixed sample.
struct Places {
  let list: [(input: Int, element: Int)]

  init(_ inputs: [[Float]], most: Int) {
    let all = inputs.indices.flatMap { i in inputs[i].indices.map { (input: i, element: $0) } }
    if all.count <= most {
      list = all
      return
    }
    // As many from each input, so that a small one is not missed.
    var random = OracleRandom(5)
    let each = max(1, most / inputs.count)
    list = inputs.indices.flatMap { i in
      inputs[i].count <= each
        ? inputs[i].indices.map { (input: i, element: $0) }
        : (0..<each).map { _ in (input: i, element: random.token(inputs[i].count)) }
    }
  }

  /// The values at these places, input by input.
  func pick(_ values: [[Double]]) -> [[Double]] {
    var picked = [[Double]](repeating: [], count: values.count)
    for place in list { picked[place.input].append(values[place.input][place.element]) }
    return picked
  }

  /// d f/d(element) at these places by central differences.
  func differences(_ inputs: [[Double]], step: Double = 1e-5, _ f: ([[Double]]) -> Double)
    -> [[Double]]
  {
    var result = [[Double]](repeating: [], count: inputs.count)
    var x = inputs
    for (i, j) in list {
      let before = x[i][j]
      x[i][j] = before + step
      let above = f(x)
      x[i][j] = before - step
      let below = f(x)
      x[i][j] = before
      result[i].append((above - below) / (2 * step))
    }
    return result
  }
}

func dot(_ a: [Double], _ b: [Double]) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }
