import NestedBase
import Testing

@Suite struct PhiloxTests {
  /// The three vectors published with Random123 (kat_vectors, philox4x32 10).
  @Test(arguments: [
    (
      SIMD4<UInt32>(0, 0, 0, 0), SIMD2<UInt32>(0, 0),
      SIMD4<UInt32>(0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8)
    ),
    (
      SIMD4<UInt32>(repeating: 0xffff_ffff), SIMD2<UInt32>(repeating: 0xffff_ffff),
      SIMD4<UInt32>(0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd)
    ),
    (
      SIMD4<UInt32>(0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344),
      SIMD2<UInt32>(0xa409_3822, 0x299f_31d0),
      SIMD4<UInt32>(0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1)
    ),
  ])
  func publishedVectorsComeOut(
    counter: SIMD4<UInt32>, key: SIMD2<UInt32>, expected: SIMD4<UInt32>
  ) {
    #expect(Philox.block(counter: counter, key: key) == expected)
  }

  @Test func seedIsTheKeyAndPositionAndStreamTheCounter() {
    let random = Philox(seed: 0x299f_31d0_a409_3822, stream: 7)
    let expected = Philox.block(
      counter: SIMD4(0x9abc_def0, 0x1234_5678, 7, 0), key: SIMD2(0xa409_3822, 0x299f_31d0))
    #expect(random.block(at: 0x1234_5678_9abc_def0) == expected)
  }

  @Test func streamsAndSeedsDiffer() {
    let bits = [(0, 0), (1, 0), (0, 1)].map { (seed, stream) in
      Philox(seed: UInt64(seed), stream: UInt32(stream)).bits(at: 5)
    }
    #expect(Set(bits).count == 3)
  }

  @Test func uniformsFillTheOpenIntervalEvenly() {
    let random = Philox(seed: 3, stream: 0)
    var cells = [Int](repeating: 0, count: 64)
    let draws = 64_000
    for position in 0..<draws {
      let u = random.uniform(at: UInt64(position))
      #expect(u > 0 && u < 1)
      cells[Int(u * 64)] += 1
    }
    let expected = Double(draws) / 64
    let chiSquare = cells.reduce(0) {
      $0 + (Double($1) - expected) * (Double($1) - expected) / expected
    }
    #expect(chiSquare < 114)  // 63 degrees of freedom: P(above) = 1e-4
  }

  @Test func normalsHaveTheMomentsOfANormal() {
    let random = Philox(seed: 11, stream: 2)
    let draws = 200_000
    var moments = [0.0, 0.0, 0.0, 0.0]
    var beyondTwo = 0
    for position in 0..<draws {
      let z = random.normal(at: UInt64(position))
      moments[0] += z
      moments[1] += z * z
      moments[2] += z * z * z
      moments[3] += z * z * z * z
      if abs(z) > 2 { beyondTwo += 1 }
    }
    let mean = moments.map { $0 / Double(draws) }
    // Five standard errors each: 1, √2, √15, √96 over √n.
    #expect(abs(mean[0]) < 0.0112)
    #expect(abs(mean[1] - 1) < 0.0159)
    #expect(abs(mean[2]) < 0.0434)
    #expect(abs(mean[3] - 3) < 0.11)
    #expect(abs(Double(beyondTwo) / Double(draws) - 0.0455) < 0.0024)
  }

  @Test func indicesCoverARangeThatIsNoPowerOfTwo() {
    let random = Philox(seed: 1, stream: 1)
    var cells = [Int](repeating: 0, count: 7)
    for position in 0..<70_000 { cells[random.index(below: 7, at: UInt64(position))] += 1 }
    let chiSquare = cells.reduce(0.0) {
      $0 + (Double($1) - 10_000) * (Double($1) - 10_000) / 10_000
    }
    #expect(chiSquare < 27.9)  // 6 degrees of freedom: P(above) = 1e-4
  }
}
