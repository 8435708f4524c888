import Glibc

// Scalar functions in Double, by another name than the engine's operations.
func expOf(_ x: Double) -> Double { exp(x) }
func logOf(_ x: Double) -> Double { log(x) }
func powerOf(_ x: Double, _ p: Double) -> Double { pow(x, p) }
func sigmoidOf(_ x: Double) -> Double { 1 / (1 + exp(-x)) }
func siluOf(_ x: Double) -> Double { x / (1 + exp(-x)) }
func geluOf(_ x: Double) -> Double {
  0.5 * x * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
}
