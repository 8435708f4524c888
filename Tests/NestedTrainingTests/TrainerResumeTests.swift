import Foundation
import NestedBase
import NestedCheckpoint
import NestedLearning
import NestedModels
import NestedTensor
import Testing

@testable import NestedTraining

@Suite struct TrainerResumeTests {
  /// A folder that goes when the test ends.
  private final class Folder {
    let url = FileManager.default.temporaryDirectory.appending(path: "nested-\(UUID().uuidString)")
    init() throws {
      try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }
    deinit { try? FileManager.default.removeItem(at: url) }
    func path(_ name: String) throws -> FilePath { try FilePath(url.appending(path: name).path) }
  }

  private func restored(_ trainer: Trainer, _ path: FilePath, options: String = "") throws
    -> Trainer
  {
    let copy = try Trainer(trainer.model.clone(), options)
    try copy.load(from: path, control: quiet)
    return copy
  }

  @Test(arguments: OptimizerSettings.Name.allCases.map(\.rawValue))
  func saveLoadContinueIsContinue(optimizer: String) throws {
    let folder = try Folder()
    let path = try folder.path("trainer")
    let text = Tiny.text(4000)
    let trainer = try Trainer(
      Tiny.model(), #"{"optimizer": "\#(optimizer)", "slow": {"period": 3}, "seed": 8, "accumulate": 2}"#)
    _ = try trainer.fit(text, steps: 5)
    try trainer.setLearningRate(0.002)
    try trainer.save(to: path, sync: false, control: quiet)
    // Options of the new trainer give way to those of the file.
    let other = try restored(trainer, path, options: #"{"optimizer": "sgd", "lr": 9}"#)
    #expect(other.options == trainer.options)
    #expect(try other.everything == trainer.everything)
    for target in [trainer, other] {
      _ = try target.fit(text, steps: 4)
      try target.setLearningRate(-1)
      _ = try target.fit(text, steps: 4)
    }
    #expect(try other.everything == trainer.everything)
  }

  /// In the middle of a step, with levels that wait.
  @Test func collectedAndWaitingGradientsAreSaved() throws {
    let folder = try Folder()
    let path = try folder.path("trainer")
    let trainer = try Trainer(Tiny.model(), #"{"accumulate": 2}"#)
    for seed in 0..<3 { _ = try trainer.step(Rows(Tiny.text(14, seed: UInt64(seed)), batch: 2)) }
    #expect(trainer.counters.batches == 1)
    #expect(trainer.counters.clock.targets[1] == 24)
    try trainer.save(to: path, sync: false, control: quiet)
    let other = try restored(trainer, path)
    #expect(try other.everything == trainer.everything)
    for seed in 3..<8 {
      for target in [trainer, other] {
        _ = try target.step(Rows(Tiny.text(14, seed: UInt64(seed)), batch: 2))
      }
      #expect(try other.everything == trainer.everything)
    }
  }

  @Test func aWrittenGradientIsSaved() throws {
    let folder = try Folder()
    let path = try folder.path("trainer")
    let trainer = try Trainer(Tiny.model(), "")
    trainer.gradient[7] = 3
    trainer.targetCount[0] = 2
    try trainer.save(to: path, sync: false, control: quiet)
    let other = try restored(trainer, path)
    #expect(other.gradientStorage.values(8)[7] == 3)
    _ = try trainer.apply(control: quiet)
    _ = try other.apply(control: quiet)
    #expect(try other.everything == trainer.everything)
  }

  @Test func anotherModelsFileIsRefused() throws {
    let folder = try Folder()
    let path = try folder.path("trainer")
    try Trainer(Tiny.model(), "").save(to: path, sync: false, control: quiet)
    let other = try Trainer(Tiny.model(dModel: 24), "")
    let before = try other.everything
    let error = #expect(throws: NestedError.self) { try other.load(from: path, control: quiet) }
    #expect(error?.code == .mismatch)
    #expect(try other.everything == before)
  }

  @Test func damagedFilesAreRefusedAndChangeNothing() throws {
    let folder = try Folder()
    let trainer = try Trainer(Tiny.model(), "")
    _ = try trainer.step(Rows(Tiny.text(14), batch: 2))
    let path = try folder.path("trainer")
    try trainer.save(to: path, sync: false, control: quiet)
    let url = folder.url.appending(path: "trainer")
    let whole = try Data(contentsOf: url)
    _ = try trainer.step(Rows(Tiny.text(14, seed: 4), batch: 2))
    let before = try trainer.everything
    for length in [0, 7, 9, 500, whole.count / 2, whole.count - 1] {
      try whole.prefix(length).write(to: url)
      #expect(throws: NestedError.self) { try trainer.load(from: path, control: quiet) }
      #expect(try trainer.everything == before)
    }
    for place in [8, 60, whole.count / 2, whole.count - 3] {
      var changed = whole
      changed[place] ^= 0x55
      try changed.write(to: url)
      #expect(throws: NestedError.self) { try trainer.load(from: path, control: quiet) }
      #expect(try trainer.everything == before)
    }
    let missing = try folder.path("none")
    let error = #expect(throws: NestedError.self) {
      try trainer.load(from: missing, control: quiet)
    }
    #expect(error?.code == .io)
    try whole.write(to: url)
    try trainer.load(from: path, control: quiet)
  }

  /// A step count that one more step would overflow (found by Tests/fuzz).
  @Test func impossibleCountsAreRefused() throws {
    let folder = try Folder()
    let path = try folder.path("trainer")
    for spoil in [
      { (trainer: Trainer) in trainer.counters.step = Int.max },
      { trainer in trainer.counters.batches = Int.max },
      { trainer in trainer.counters.clock.steps[0] = Int.max },
    ] {
      let trainer = try Trainer(Tiny.model(), "")
      spoil(trainer)
      try trainer.save(to: path, sync: false, control: quiet)
      let error = #expect(throws: NestedError.self) { try restored(trainer, path) }
      #expect(error?.code == .corrupt)
    }
  }
}
