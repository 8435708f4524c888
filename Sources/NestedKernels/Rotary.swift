package import NestedBase

/// Rotary position embedding in Llama's half-split layout: channels i and i + d/2 of each head turn by the angle of
/// their row. y = x turned forwards, or backwards for the gradient.
package func rotary(
  _ y: Floats,  // [rows, heads d], may be x
  _ x: Floats,  // [rows, heads d]
  _ table: Floats,  // [rows, d]: d/2 cosines, then d/2 sines
  _ rows: Int, _ heads: Int, _ d: Int, backwards: Bool
) {
  let half = d / 2
  for row in 0..<rows {
    let cosines = table + row * d, sines = cosines + half
    for head in 0..<heads {
      let at = (row * heads + head) * d
      var i = 0
      while i < half {
        let n = min(16, half - i)
        let (a, b) = (x.load(at + i, n), x.load(at + half + i, n))
        let c = cosines.load(i, n)
        let s = backwards ? -sines.load(i, n) : sines.load(i, n)
        y.store(a * c - b * s, at + i, n)
        y.store(b * c + a * s, at + half + i, n)
        i += 16
      }
    }
  }
}
