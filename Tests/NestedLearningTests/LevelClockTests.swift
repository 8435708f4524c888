import NestedLearning
import Testing

@Suite struct LevelClockTests {
  @Test func levelsAreDueAtTheMultiplesOfTheirPeriodsOverTenThousandTokens() {
    let clock = LevelClock(periods: [16, 64, 1024, 0], segment: 64)
    var updates = [[Int]](repeating: [], count: 4)
    for position in 0...10_000 {
      for level in 0..<4 where clock.isDue(level, at: position) { updates[level].append(position) }
    }
    #expect(updates[0] == Array(stride(from: 16, through: 10_000, by: 16)))
    #expect(updates[1] == Array(stride(from: 64, through: 10_000, by: 64)))
    #expect(updates[2] == Array(stride(from: 1024, through: 10_000, by: 1024)))
    #expect(updates[3].isEmpty)
  }

  @Test func nextUpdateIsTheFirstDuePositionAfterThisOne() {
    let clock = LevelClock(periods: [7, 21, 0], segment: 64)
    for position in 0..<10_000 {
      for level in 0..<2 {
        let next = clock.nextUpdate(level, after: position)
        #expect(next > position && clock.isDue(level, at: next))
        #expect(!(position + 1..<next).contains { clock.isDue(level, at: $0) })
      }
      #expect(clock.nextUpdate(2, after: position) == -1)
    }
  }

  @Test(arguments: [
    ([64, 1024], 64, 64), ([16, 64], 64, 16), ([256], 64, 64), ([1], 64, 1), ([0], 48, 48),
    ([], 8, 8),
  ])
  func segmentsEndAtMultiplesOfTheSmallerOfFastestPeriodAndSegment(
    periods: [Int], segment: Int, expected: Int
  ) {
    let clock = LevelClock(periods: periods, segment: segment)
    #expect(clock.segment == expected)
    for position in 0..<1000 {
      #expect(clock.segmentEnd(after: position) == (position / expected + 1) * expected)
    }
  }

  @Test func outerLevelsStepWhenTheirTargetsAreReached() {
    var clock = OuterClock(periods: [64, 1024, 0])
    // Against the rule written out, over 10⁴ targets in batches of changing size.
    var counts = [0, 0]
    var steps = [0, 0, 0]
    var seen = 0
    var batch = 1
    while seen < 10_000 {
      for (level, period) in [64, 1024].enumerated() {
        #expect(clock.isDue(level, adding: Double(batch)) == (counts[level] + batch >= period))
        counts[level] += batch
        if counts[level] >= period {
          counts[level] = 0
          steps[level] += 1
        }
      }
      #expect(clock.isDue(2, adding: Double(batch)))
      steps[2] += 1
      clock.advance(by: Double(batch))
      #expect(clock.targets == [Double(counts[0]), Double(counts[1]), 0])
      #expect(clock.steps == steps)
      seen += batch
      batch = batch % 97 + 1
    }
  }

  @Test func aBatchAsLargeAsThePeriodStepsTheLevelEveryTime() {
    var clock = OuterClock(periods: [64])
    for step in 1...5 {
      clock.advance(by: 64)
      #expect(clock.steps == [step])
      #expect(clock.targets == [0])
    }
  }
}
