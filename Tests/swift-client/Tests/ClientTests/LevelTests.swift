import Nested
import Testing

@Suite struct LevelTests {
  @Test func theClockIsVisible() throws {
    let session = try Session(makeModel(), learn: .on)
    try session.feed(text(41))
    let levels = try session.levels
    #expect(
      levels.map(\.layer) == [0, 0, 0, 1, 1, 1] && levels.map(\.level) == [0, 1, 2, 0, 1, 2])
    #expect(levels.map(\.chunk) == [8, 32, 0, 8, 32, 0])
    #expect(levels[0].lastUpdate == 40 && levels[0].nextUpdate == 48)
    #expect(levels[1].updates == 1 && levels[1].lastUpdate == 32)
    #expect(levels[2].lastUpdate == nil && levels[2].nextUpdate == nil)
    #expect(levels[0].deltaNorm > 0 && levels[2].deltaNorm == 0 && levels[0].skipped == 0)
    #expect(Float(levels[0].learningRate) == 0.05 && levels[0].weightNorm > 0)
    #expect(levels[0].lastGradientNorm > 0 && levels[0].lastUpdateNorm > 0)
    #expect(levels[1].pendingNorm >= 0 && levels.allSatisfy { $0.parameters > 0 })
  }

  @Test func aFrozenLevelDoesNotLearn() throws {
    let session = try Session(makeModel(), learn: .on)
    try session.freeze(layer: 0)
    try session.feed(text(41))
    #expect(try session.levels.prefix(3).allSatisfy { $0.isFrozen && $0.updates == 0 })
    #expect(try session.level(layer: 1, level: 0).updates == 5)
    try session.thaw()
    try session.feed(text(16))
    #expect(try session.level(layer: 0, level: 0).updates > 0)
  }

  @Test func ratesScale() throws {
    let session = try Session(makeModel(), learn: .on)
    try session.scaleLearningRate(0.5, level: 0)
    #expect(try Float(session.level(layer: 1, level: 0).learningRate) == 0.025)
    #expect(try Float(session.level(layer: 1, level: 1).learningRate) == 0.02)
  }

  @Test func flushAppliesAndResetForgets() throws {
    let session = try Session(makeModel(), learn: .on)
    try session.feed(text(20))
    #expect(try session.level(layer: 0, level: 1).updates == 0)
    try session.flushLevels(layer: 0, level: 1)
    #expect(try session.level(layer: 0, level: 1).updates == 1)
    #expect(try session.level(layer: 1, level: 1).updates == 0)
    try session.resetLevels()
    #expect(try session.levels.allSatisfy { $0.deltaNorm == 0 })
  }
}
