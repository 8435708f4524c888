import NestedBase
import NestedLearning
import Testing

@Suite struct ScheduleTests {
  @Test func constantIsOneFromTheFirstStep() {
    let schedule = Schedule(kind: .constant)
    for step in [0, 1, 99, 5000] { #expect(schedule.factor(after: step) == 1) }
  }

  @Test func warmUpRisesLinearlyAndStays() {
    let schedule = Schedule(kind: .warmup, warmup: 4)
    #expect((0..<6).map { schedule.factor(after: $0) } == [0.25, 0.5, 0.75, 1, 1, 1])
    #expect(Schedule(kind: .warmup, warmup: 0).factor(after: 0) == 1)
  }

  @Test func cosineFallsFromOneToItsFloor() {
    let schedule = Schedule()  // warmup 100, total 1000, floor 0.1
    #expect(schedule.factor(after: 0) == 0.01)
    #expect(schedule.factor(after: 99) == 1)
    #expect(schedule.factor(after: 100) == 1)
    #expect(abs(schedule.factor(after: 550) - 0.55) < 1e-12)
    // 0.1 + 0.9 · ½ (1 + cos(π/3))
    #expect(abs(schedule.factor(after: 400) - 0.775) < 1e-12)
    #expect(schedule.factor(after: 1000) == 0.1)
    #expect(schedule.factor(after: 1_000_000) == 0.1)
    for step in 100..<999 {
      #expect(schedule.factor(after: step) >= schedule.factor(after: step + 1))
    }
  }

  @Test func aWarmUpLongerThanTheWholeEndsAtTheFloor() {
    let schedule = Schedule(kind: .cosine, warmup: 10, total: 5, floor: 0.2)
    #expect(schedule.factor(after: 9) == 1)
    #expect(schedule.factor(after: 10) == 0.2)
  }

  @Test func warmupStableDecayHasThreeStraightParts() {
    let schedule = Schedule(kind: .wsd, warmup: 4, total: 20, floor: 0.2, decay: 8)
    #expect((0..<5).map { schedule.factor(after: $0) } == [0.25, 0.5, 0.75, 1, 1])
    for step in 4...12 { #expect(schedule.factor(after: step) == 1) }
    #expect(abs(schedule.factor(after: 14) - 0.8) < 1e-12)
    #expect(abs(schedule.factor(after: 16) - 0.6) < 1e-12)
    #expect(abs(schedule.factor(after: 19) - 0.3) < 1e-12)
    for step in [20, 21, 999] { #expect(schedule.factor(after: step) == 0.2) }
    // Without a decay it drops at the end; one longer than the whole falls from the start.
    #expect(Schedule(kind: .wsd, warmup: 0, total: 5, floor: 0, decay: 0).factor(after: 4) == 1)
    #expect(Schedule(kind: .wsd, warmup: 0, total: 5, floor: 0, decay: 10).factor(after: 0) == 0.5)
  }

  @Test(arguments: [
    (Schedule(decay: -1), "/schedule/decay"),
    (Schedule(warmup: -1), "/schedule/warmup"), (Schedule(total: 0), "/schedule/total"),
    (Schedule(floor: 1.5), "/schedule/floor"), (Schedule(floor: .nan), "/schedule/floor"),
  ])
  func impossibleValuesNameTheirPlace(schedule: Schedule, place: String) {
    let error = #expect(throws: NestedError.self) { try schedule.validate(place: "/schedule") }
    #expect(error?.code == .config)
    #expect(error?.place == place)
  }
}
