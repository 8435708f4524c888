internal import CNestedShims
internal import NestedBase

/// The unit all kernels work in: 16 floats, one zmm register (v4) or two ymm registers (v3).
///
/// Operations come from LaneOperators.swift. `SIMD32`, generic `SIMD` code and `InlineArray` of
/// vectors end in scalar code on the stack on this toolchain.
typealias Lanes = SIMD16<Float>

/// The sum of the lanes, always by the same halving tree.
@inline(__always)
func laneSum(_ v: Lanes) -> Float {
  let eight = v.lowHalf + v.highHalf
  let four = eight.lowHalf + eight.highHalf
  return (four.x + four.z) + (four.y + four.w)
}

@inline(__always)
func laneMax(_ v: Lanes) -> Float {
  var top = v[0]
  for i in 1..<16 where v[i] > top { top = v[i] }
  return top
}

extension Floats {
  /// The first `count` ≤ 16 floats from `i` on, the other lanes 0. Reads nothing behind them.
  @inline(__always)
  func loadPart(_ i: Int, _ count: Int) -> Lanes { unsafe nested_load_part(pointer + i, count) }

  /// The first `count` ≤ 16 lanes to `i`; what stands behind them is not touched.
  @inline(__always)
  func storePart(_ v: Lanes, _ i: Int, _ count: Int) {
    unsafe nested_store_part(pointer + i, v, count)
  }

  /// The same for loops whose last step is shorter.
  @inline(__always)
  func load(_ i: Int, _ count: Int) -> Lanes {
    _fastPath(count == 16) ? load16(i) : loadPart(i, count)
  }

  @inline(__always)
  func store(_ v: Lanes, _ i: Int, _ count: Int) {
    if _fastPath(count == 16) { store16(v, i) } else { storePart(v, i, count) }
  }
}
