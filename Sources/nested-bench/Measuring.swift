import Glibc

/// Seconds of a clock that is never set back.
func now() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Double(time.tv_sec) + 1e-9 * Double(time.tv_nsec)
}

/// Median and range of repeated measurements.
struct Spread {
  let median: Double
  let low: Double
  let high: Double
  let count: Int

  init(_ values: [Double]) {
    let sorted = values.sorted()
    median = percentile(sorted, 0.5)
    low = sorted.first ?? .nan
    high = sorted.last ?? .nan
    count = sorted.count
  }
}

/// The smallest value that at least `fraction` of the values do not exceed; for the median of an
/// even number, the mean of the two in the middle.
func percentile(_ sorted: [Double], _ fraction: Double) -> Double {
  if sorted.isEmpty { return .nan }
  if fraction == 0.5 && sorted.count % 2 == 0 {
    return (sorted[sorted.count / 2 - 1] + sorted[sorted.count / 2]) / 2
  }
  let place = Int((fraction * Double(sorted.count)).rounded(.up)) - 1
  return sorted[min(max(place, 0), sorted.count - 1)]
}

/// Repeats `body` until the time is up, `atLeast` times in any case; seconds of each round.
func rounds(seconds: Double, atLeast: Int, _ body: () throws -> Void) rethrows -> [Double] {
  var times: [Double] = []
  let start = now()
  repeat {
    let before = now()
    try body()
    times.append(now() - before)
  } while times.count < atLeast || now() - start < seconds
  return times
}
