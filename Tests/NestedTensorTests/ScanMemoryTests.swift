import CNestedShims
import NestedBase
import NestedTensor
import Oracle
import Testing

/// The scan's kernels stay within the sizes that ScanSpec, ScanTrace and the scratch functions state, and read nothing
/// that was not written: exact buffers of NaN, with a mark behind each.
@Suite struct ScanMemoryTests {
  private static let mark: Float = 12345.5

  /// `count` floats and 64 marks.
  private struct Buffer {
    let storage: Storage
    let count: Int
    init(_ count: Int, _ value: Float = .nan) throws {
      self.count = count
      storage = try Storage(count: count + 64, budget: MemoryBudget())
      floats.fill(value, count: count)
      (floats + count).fill(ScanMemoryTests.mark, count: 64)
    }
    init(random count: Int, _ random: inout OracleRandom) throws {
      try self.init(count)
      for i in 0..<count { floats[i] = Float(random.normal()) }
    }
    var floats: Floats { storage.floats }
    var isIntact: Bool { (count..<count + 64).allSatisfy { floats[$0] == ScanMemoryTests.mark } }
    var isFinite: Bool { (0..<count).allSatisfy { floats[$0].isFinite } }
  }

  @Test(arguments: OpRow.scanOptions)
  func kernelsStayWithinTheirBuffers(_ options: ScanOptions) throws {
    let environment = nested_shim_float_enter()
    defer { nested_shim_float_leave(environment) }
    for kernels in KernelSetTests.classes {
      for (start, count) in [(0, 1), (0, 7), (0, 40), (1, 1), (3, 17), (13, 40), (16, 16)] {
        for streams in [start > 0, true] {
          let ok = try run(options, kernels, start: start, count: count, streams: streams)
          #expect(ok, "\(kernels.cpuClass), \(count) rows from \(start), streams \(streams)")
        }
      }
    }
  }

  private func run(
    _ options: ScanOptions, _ kernels: KernelSet, start: Int, count: Int, streams: Bool
  ) throws -> Bool {
    let spec = options.spec, width = spec.headDim
    var random = OracleRandom(UInt64(start * 100 + count))
    let state = try Buffer(spec.stateSize)
    let engine = try Engine.test(kernels: kernels)
    let memories = try options.memoryShapes.map { shape in
      try engine.tensor(
        (0..<shape.reduce(1, *) / options.heads).map { _ in Float(0.2 * random.normal()) },
        Shape([1] + shape.dropFirst()))
    }
    spec.initialize(state.floats, heads: 1, memories: memories)
    var ok = true

    func forward(_ rows: Int, _ position: Int, traced: Bool, streams: Bool) throws -> (
      kept: Buffer, u: Buffer, uv: Buffer, q: Buffer
    ) {
      let trace = ScanTrace(spec, rows: rows, start: position, streams: streams)
      let kept = try Buffer(traced ? trace.size : trace.rowsSize)
      let scratch = try Buffer(kernels.scanForwardScratch(spec))
      let u = try Buffer(random: rows * width, &random)
      let uv = try Buffer(random: rows * width, &random)
      let q = try Buffer(random: rows * width, &random)
      let o = try Buffer(rows * width)
      kernels.scanForward(
        spec,
        ScanForwardArguments(
          o: o.floats, state: state.floats, u: u.floats, uv: uv.floats, q: q.floats, stride: width,
          count: rows, start: position, etaBias: 0.5, alphaBias: 2, writes: true, traced: traced,
          streams: streams, kept: kept.floats, scratch: scratch.floats))
      ok = ok && [kept, scratch, u, uv, q, o, state].allSatisfy(\.isIntact) && o.isFinite
      return (kept, u, uv, q)
    }

    if start > 0 { _ = try forward(start, 0, traced: false, streams: true) }
    let pass = try forward(count, start, traced: true, streams: streams)
    ok = ok && spec.isValid(state.floats, position: start + count)

    let dO = try Buffer(random: count * width, &random)
    let du = try Buffer(count * width), duv = try Buffer(count * width),
      dq = try Buffer(count * width)
    let dState = try Buffer(spec.stateSize), dBiases = try Buffer(2)
    let scratch = try Buffer(kernels.scanBackwardScratch(spec, count))
    kernels.scanBackward(
      spec,
      ScanBackwardArguments(
        du: du.floats, duv: duv.floats, dq: dq.floats, dState: dState.floats,
        dBiases: dBiases.floats,
        dO: dO.floats, u: pass.u.floats, uv: pass.uv.floats, q: pass.q.floats, stride: width,
        count: count, start: start, streams: streams, kept: pass.kept.floats,
        scratch: scratch.floats))
    let all = [
      pass.kept, pass.u, pass.uv, pass.q, dO, du, duv, dq, dState, dBiases, scratch, state,
    ]
    return ok && all.allSatisfy(\.isIntact)
      && [du, duv, dq, dState, dBiases].allSatisfy(\.isFinite)
  }
}
