internal import Glibc
package import NestedBase

extension ParameterLayout {
  /// Fills the flat vector `weights` (`count` elements, owned by the caller, overwritten) with the
  /// initial values of SPEC 2. Parameter number i draws from stream i, its element j from position
  /// j: a value depends on the seed and on its own place only.
  package func initialize(_ weights: Floats, seed: UInt64) {
    for index in entries.indices { initialize(index, weights, seed: seed) }
  }

  /// One parameter of it, so that a caller may share the work out; the bits do not depend on how.
  package func initialize(_ index: Int, _ weights: Floats, seed: UInt64) {
    let entry = entries[index]
    let values = weights + entry.offset
    let random = Philox(seed: seed, stream: UInt32(truncatingIfNeeded: index))
    switch entry.initial {
    case .constant(let value): values.fill(value, count: entry.count)
    case .normal(let deviation):
      for i in 0..<entry.count { values[i] = deviation * Float(random.normal(at: UInt64(i))) }
    case .convolution(let taps, let deviation):
      for i in 0..<entry.count {
        values[i] = i % taps == taps - 1 ? 1 : deviation * Float(random.normal(at: UInt64(i)))
      }
    case .logarithmOfUniform(let top):
      for i in 0..<entry.count { values[i] = Float(log(top * random.uniform(at: UInt64(i)))) }
    case .timeStep(let low, let high):
      for i in 0..<entry.count {
        let step = low * pow(high / low, random.uniform(at: UInt64(i)))
        values[i] = Float(log(expm1(step)))  // softplus of it is the step
      }
    }
  }
}
