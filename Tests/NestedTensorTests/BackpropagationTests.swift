import NestedBase
import NestedTensor
import Testing

/// Backpropagation through a linear layer is an associative memory (paper 1.3, eqs 7-9): the keys are the layer's inputs
/// x_t, the values are the surprises u_t = ∂L/∂y_t that the rest of the network sends back.
@Suite struct BackpropagationTests {
  private let rows = 6, inputs = 17, outputs = 5
  private let learningRate: Float = 0.3

  private struct Pass {
    let w: [Float], x: [Float]
    let gradient: [Float]  // of w
    let surprise: [Float]  // of y
  }

  /// L = ½ Σ silu(W x)²; the surprise is what a variable in y's place receives.
  private func pass() throws -> Pass {
    let random = Philox(seed: 7, stream: 1)
    let x = (0..<rows * inputs).map { Float(random.normal(at: UInt64($0))) }
    let w = (0..<outputs * inputs).map { Float(random.normal(at: UInt64(1000 + $0))) }
    let engine = try Engine.test()
    let tape = Tape()
    engine.tape = tape
    let layer = tape.variable(try engine.tensor(w, Shape(outputs, inputs)))
    let y = try engine.linear(try engine.tensor(x, Shape(rows, inputs)), layer)
    let z = try engine.silu(y)
    try tape.backward(engine, from: z, seed: z.detached)
    let gradient = try #require(tape.gradient(layer)?.array)

    let rest = Tape()
    engine.tape = rest
    let output = rest.variable(y.detached)
    let loss = try engine.silu(output)
    try rest.backward(engine, from: loss, seed: loss.detached)
    return Pass(w: w, x: x, gradient: gradient, surprise: try #require(rest.gradient(output)?.array))
  }

  /// Eq 8: one outer product of surprise and input for each token, and nothing else.
  @Test func theGradientIsASumOfKeysAndSurprises() throws {
    let pass = try pass()
    for i in 0..<outputs {
      for j in 0..<inputs {
        let sum = (0..<rows).reduce(0.0) {
          $0 + Double(pass.surprise[$1 * outputs + i]) * Double(pass.x[$1 * inputs + j])
        }
        #expect(abs(sum - Double(pass.gradient[i * inputs + j])) < 1e-5)
      }
    }
  }

  /// Eq 9: a step of gradient descent is where Σ <W x_t, u_t> + ‖W - W_t‖² / 2η is least.
  @Test func theStepMinimisesTheMemorysObjective() throws {
    let pass = try pass()
    func objective(_ w: [Double]) -> Double {
      var sum = 0.0
      for t in 0..<rows {
        for i in 0..<outputs {
          let y = (0..<inputs).reduce(0.0) { $0 + w[i * inputs + $1] * Double(pass.x[t * inputs + $1]) }
          sum += y * Double(pass.surprise[t * outputs + i])
        }
      }
      return sum + zip(w, pass.w).reduce(0.0) { $0 + ($1.0 - Double($1.1)) * ($1.0 - Double($1.1)) }
        / (2 * Double(learningRate))
    }
    let step = zip(pass.w, pass.gradient).map { Double($0 - learningRate * $1) }
    let least = objective(step)
    for k in step.indices {
      for change in [-0.01, 0.01] {
        var other = step
        other[k] += change
        #expect(objective(other) > least)
      }
    }
  }

  /// What the trained layer has added to any input is read from that memory by linear attention (eqs 14-18, keys x_t,
  /// values -η u_t).
  @Test func theUpdateIsLinearAttentionOverTheSurprises() throws {
    let pass = try pass()
    let q = (0..<inputs).map { Double($0 % 3) - 1 }
    for i in 0..<outputs {
      let added = (0..<inputs).reduce(0.0) {
        $0 - Double(learningRate * pass.gradient[i * inputs + $1]) * q[$1]
      }
      let read = (0..<rows).reduce(0.0) { sum, t in
        let match = (0..<inputs).reduce(0.0) { $0 + Double(pass.x[t * inputs + $1]) * q[$1] }
        return sum - Double(learningRate * pass.surprise[t * outputs + i]) * match
      }
      #expect(abs(added - read) < 1e-5)
    }
  }
}
