/// Scaled rotary frequencies, in the terms of Llama 3's own description: by wavelength.
package enum OracleRotaryScaling: Sendable {
  case none
  case linear(Double)
  case llama3(factor: Double, low: Double, high: Double, tokens: Double)

  package func scaled(_ frequency: Double) -> Double {
    switch self {
    case .none: return frequency
    case .linear(let factor): return frequency / factor
    case .llama3(let factor, let low, let high, let tokens):
      let wavelength = 2 * Double.pi / frequency
      if wavelength < tokens / high { return frequency }
      if wavelength > tokens / low { return frequency / factor }
      let smooth = (tokens / wavelength - low) / (high - low)
      return (1 - smooth) * frequency / factor + smooth * frequency
    }
  }
}
