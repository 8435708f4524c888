import Glibc
import Nested

/// A model's file and its trainer's beside it, which change together: fox.safetensors and
/// fox.trainer.safetensors.
///
/// Both are written under other names first and renamed then, the model before the trainer. Whatever
/// ends the program on the way, what is left says which step was the last (`settle`).
struct Checkpoint {
  let model: String
  let trainer: String

  init(model: String) {
    let suffix = ".safetensors"
    self.model = model
    trainer =
      model.hasSuffix(suffix)
      ? model.dropLast(suffix.count) + ".trainer" + suffix : model + ".trainer"
  }

  private var newModel: String { model + ".new" }
  private var newTrainer: String { trainer + ".new" }

  func save(_ model: Model, _ trainer: Trainer) throws {
    try about(newModel, writing: true) { try model.save(to: newModel) }
    try about(newTrainer, writing: true) {
      try trainer.save(to: newTrainer)
    }
    try settle()
  }

  /// Finishes what was interrupted: with the trainer's new file, both are whole and the model's is
  /// renamed or about to be; without it, a new model is one too few.
  func settle() throws(Failure) {
    guard exists(newTrainer) else {
      unlink(newModel)
      return
    }
    if exists(newModel) { try move(newModel, to: model) }
    try move(newTrainer, to: trainer)
  }

  /// Before a new run: what an interrupted one has left is not its own.
  func discard() {
    unlink(newTrainer)
    unlink(newModel)
  }

  private func move(_ path: String, to target: String) throws(Failure) {
    if rename(path, target) != 0 { throw Failure(writing: target, errno: errno) }
  }
}
