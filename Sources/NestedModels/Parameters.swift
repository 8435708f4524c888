package import NestedBase
package import NestedLearning
package import NestedTensor

/// A model's weights as tensors, by index in its `ParameterLayout`: what a forward pass reads.
///
/// A value: a session replaces the levels it has learnt, a trainer puts variables in place of all.
package struct Parameters {
  package private(set) var tensors: [Tensor]

  /// Views of the flat storage `weights`.
  package init(_ layout: ParameterLayout, _ weights: Storage) {
    tensors = layout.entries.map { Tensor(Shape($0.shape), weights, offset: $0.offset) }
  }

  package subscript(index: Int) -> Tensor {
    @inline(__always) get { tensors[index] }
    set { tensors[index] = newValue }
  }

  /// Puts every weight of `layout` on the tape; gradients are added to the flat `gradient`, and the layers' inputs to
  /// `inputs` [layout.inputCount] where it is given.
  package func variables(
    _ tape: Tape, _ layout: ParameterLayout, addingTo gradient: Floats, inputs: Floats? = nil
  ) -> Parameters {
    var copy = self
    var at = 0
    for (i, entry) in layout.entries.enumerated() {
      let size = entry.inputCount
      copy.tensors[i] = tape.variable(
        tensors[i], addingTo: gradient + entry.offset, inputs: size > 0 ? inputs.map { $0 + at } : nil)
      at += size
    }
    return copy
  }
}

extension ParameterEntry {
  /// Whether `Engine.linear` multiplies by it, so that keeping its panels saves work.
  var isLinear: Bool {
    shape.count == 2 && shape[1] > 4 && name.hasSuffix(".weight")
  }

  private static let ends = ["embed.weight", "input.weight", "head.weight"]
  private var isLearntToken: Bool { name.hasSuffix(".persistent_k") || name.hasSuffix(".persistent_v") }

  /// Channels of the inputs that an optimizer may ask for: those of a matrix that a layer multiplies by.
  package var inputCount: Int { form.hasInputs ? form.columns : 0 }

  /// As optimizers see it. Hidden (SPEC 4, muon): all of two or more dimensions but the network's ends, which are embed,
  /// the input layer and head, convolutions, and keys and values that are learnt as tokens are.
  package var form: ParameterForm {
    guard shape.count >= 2 else { return ParameterForm(rows: 1, columns: count, isHidden: false) }
    // The head of a classifier that knows no label yet is empty.
    if count == 0 { return ParameterForm(rows: shape[0], columns: shape[1], isHidden: false) }
    let rows = shape[shape.count - 2], columns = shape[shape.count - 1]
    return ParameterForm(
      matrices: count / (rows * columns), rows: rows, columns: columns,
      isHidden: !ParameterEntry.ends.contains(name) && !name.hasSuffix("_conv.weight") && !isLearntToken)
  }
}

extension ParameterLayout {
  /// The inputs of all matrices, one after another in the order of the entries.
  package var inputCount: Int { entries.reduce(0) { $0 + $1.inputCount } }
}
