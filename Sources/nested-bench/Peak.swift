import Glibc

/// What this machine's cores can do in matrix products: 512 x 512 x 512 sgemm of the system's
/// OpenBLAS, loaded beside the library, on one thread and on one thread per core at once. The best
/// window of the whole run counts, because another program can only make it smaller.
final class Peak {
  private typealias SGEMM =
    @convention(c) (
      Int32, Int32, Int32, Int32, Int32, Int32, Float, UnsafePointer<Float>?, Int32,
      UnsafePointer<Float>?,
      Int32, Float, UnsafeMutablePointer<Float>?, Int32
    ) -> Void
  private static let size = 512

  private let sgemm: SGEMM
  private var matrices: [UnsafeMutablePointer<Float>] = []  // [threads] of 3 * size * size
  let threads: Int
  private(set) var one = 0.0  // GFLOP/s
  private(set) var all = 0.0

  /// nil where there is no OpenBLAS.
  init?(threads: Int) {
    guard let library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL),
      let symbol = dlsym(library, "cblas_sgemm"),
      let setThreads = dlsym(library, "openblas_set_num_threads")
    else { return nil }
    sgemm = unsafeBitCast(symbol, to: SGEMM.self)
    unsafeBitCast(setThreads, to: (@convention(c) (Int32) -> Void).self)(1)
    self.threads = threads
    for _ in 0..<threads {
      let matrix = UnsafeMutablePointer<Float>.allocate(capacity: 3 * Self.size * Self.size)
      for i in 0..<3 * Self.size * Self.size { matrix[i] = Float(i % 7) * 0.01 }
      matrices.append(matrix)
    }
  }
  deinit { for matrix in matrices { matrix.deallocate() } }

  /// One more window of each kind.
  func measure() {
    one = max(one, window(1))
    all = threads == 1 ? one : max(all, window(threads))
  }

  private func window(_ threads: Int) -> Double {
    let end = now() + 0.15
    let work = (0..<threads).map { Work(sgemm, matrices[$0], end) }
    var others: [pthread_t] = []
    for one in work.dropFirst() {
      var thread = pthread_t()
      let context = Unmanaged.passRetained(one).toOpaque()
      let status = pthread_create(
        &thread, nil,
        { context in
          if let context { Unmanaged<Work>.fromOpaque(context).takeRetainedValue().run() }
          return nil
        }, context)
      if status == 0 {
        others.append(thread)
      } else {
        Unmanaged<Work>.fromOpaque(context).release()
      }
    }
    work.first?.run()
    for thread in others { pthread_join(thread, nil) }
    return work.reduce(0) { $0 + $1.rate }
  }

  private final class Work: @unchecked Sendable {
    let sgemm: SGEMM
    let matrices: UnsafeMutablePointer<Float>
    let end: Double
    var rate = 0.0
    init(_ sgemm: @escaping SGEMM, _ matrices: UnsafeMutablePointer<Float>, _ end: Double) {
      self.sgemm = sgemm
      self.matrices = matrices
      self.end = end
    }

    func run() {
      let n = Peak.size
      let size = Int32(n)
      let (a, b, c) = (matrices, matrices + n * n, matrices + 2 * n * n)
      sgemm(101, 111, 111, size, size, size, 1, a, size, b, size, 0, c, size)
      let start = now()
      var count = 0
      var time = start
      repeat {
        sgemm(101, 111, 111, size, size, size, 1, a, size, b, size, 0, c, size)
        count += 1
        time = now()
      } while time < end
      rate = Double(count) * 2 * Double(n) * Double(n) * Double(n) / (time - start) * 1e-9
    }
  }
}
