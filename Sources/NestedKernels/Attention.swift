package import NestedBase

// Causal softmax attention of one head, block by block (the algorithm of FlashAttention, Dao 2022). Blocks of keys lie at
// multiples of `keyBlock` of the position in the stream, and a row's running maximum and sum pass through them in
// order, persistent keys first; so a row's bits depend on its position and on what it sees, not on which rows were
// computed with it.

private let queryBlock = 64
private let keyBlock = 128

/// Floats of scratch for one head.
package let attentionScratch = 2 * queryBlock * keyBlock + 2 * queryBlock

/// o[t] = Σ_j softmax_j(scale q[t]·k[j]) v[j];  lse[t] = ln Σ_j exp(scale q[t]·k[j]).
package func attentionForward(_ a: AttentionPart, _ scratch: Floats) {
  let s = scratch, top = scratch + queryBlock * keyBlock, sum = top + queryBlock
  var row = 0
  while row < a.rows {
    let m = min(queryBlock, a.rows - row)
    let o = a.o + row * a.stride
    for r in 0..<m {
      (o + r * a.stride).fill(0, count: a.d)
      top[r] = -.infinity
      sum[r] = 0
    }
    /// Adds the keys j0..<j1 of a block, of which query r sees those that `seen` says.
    func attend(
      _ keys: Floats, _ values: Floats, _ stride: Int, _ block: Int, _ j0: Int, _ j1: Int, _ seen: (Int) -> (Int, Int)
    ) {
      let from = j0 - block
      tileGEMMTransposedB(
        s + from, keyBlock, a.q + row * a.stride, a.stride, keys, stride, m, j1 - j0, a.d, accumulate: false)
      for r in 0..<m {
        let (first, last) = seen(r)
        softmaxRow(
          s + r * keyBlock, first - block, last - block, from, j1 - block, a.scale, top + r, sum + r
        ) {
          scaleRow(o + r * a.stride, a.d, by: $0)
        }
      }
      columnsProduct(o, a.stride, s + from, keyBlock, values, stride, m, a.d, j1 - j0)
    }
    forPersistentBlocks(a) { j0, j1 in
      let at = j0 * a.persistentStride
      attend(a.persistentK + at, a.persistentV + at, a.persistentStride, j0, j0, j1) { _ in (j0, j1) }
    }
    forKeyBlocks(a, a.position + row, m) { block, j0, j1 in
      let at = (j0 - a.first) * a.kvStride
      attend(a.k + at, a.v + at, a.kvStride, block, j0, j1) { seen(a, a.position + row + $0, j0, j1) }
    }
    for r in 0..<m {
      scaleRow(o + r * a.stride, a.d, by: 1 / sum[r])
      a.lse[(row + r) * a.lseStride] = top[r] + log16(splat(sum[r]))[0]
    }
    row += m
  }
}

/// Adds the gradients of one head.
package func attentionBackward(_ a: AttentionPart, _ g: AttentionGradients, _ scratch: Floats) {
  let p = scratch, ds = scratch + queryBlock * keyBlock
  var row = 0
  while row < a.rows {
    let m = min(queryBlock, a.rows - row)
    let at = row * a.stride
    /// P and dS of n keys, of which query r sees those that `seen` says; adds to dq.
    func attend(_ keys: Floats, _ values: Floats, _ stride: Int, _ n: Int, _ seen: (Int) -> (Int, Int)) {
      tileGEMMTransposedB(p, keyBlock, a.q + at, a.stride, keys, stride, m, n, a.d, accumulate: false)
      tileGEMMTransposedB(ds, keyBlock, g.dO + at, a.stride, values, stride, m, n, a.d, accumulate: false)
      for r in 0..<m {
        let (first, last) = seen(r)
        let delta = dot(g.dO + at + r * a.stride, a.o + at + r * a.stride, a.d)
        probabilityRow(
          p + r * keyBlock, ds + r * keyBlock, first, last, n, a.scale, a.lse[(row + r) * a.lseStride], delta)
      }
      columnsProduct(g.dq + at, a.stride, ds, keyBlock, keys, stride, m, a.d, n)
    }
    forPersistentBlocks(a) { j0, j1 in
      let to = j0 * a.persistentStride
      attend(a.persistentK + to, a.persistentV + to, a.persistentStride, j1 - j0) { _ in (0, j1 - j0) }
      rowsProduct(
        g.dPersistentV + to, a.persistentStride, p, keyBlock, g.dO + at, a.stride, j1 - j0, a.d, m)
      rowsProduct(
        g.dPersistentK + to, a.persistentStride, ds, keyBlock, a.q + at, a.stride, j1 - j0, a.d, m)
    }
    forKeyBlocks(a, a.position + row, m) { _, j0, j1 in
      let n = j1 - j0, keys = (j0 - a.first) * a.kvStride
      attend(a.k + keys, a.v + keys, a.kvStride, n) {
        let (first, last) = seen(a, a.position + row + $0, j0, j1)
        return (first - j0, last - j0)
      }
      let known = max(0, a.position * a.keysPerQuery - j0)  // keys from before the rows are constants
      if known < n {
        let to = (j0 + known - a.position * a.keysPerQuery) * g.dkStride
        rowsProduct(g.dv + to, g.dkStride, p + known, keyBlock, g.dO + at, a.stride, n - known, a.d, m)
        rowsProduct(g.dk + to, g.dkStride, ds + known, keyBlock, a.q + at, a.stride, n - known, a.d, m)
      }
    }
    row += m
  }
}

/// body(start of the block, first key, end) for the keys that rows position..<position + m see.
@inline(__always)
private func forKeyBlocks(
  _ a: AttentionPart, _ position: Int, _ m: Int, _ body: (Int, Int, Int) -> Void
) {
  let low = a.window > 0 ? max(0, position - a.window + 1) * a.keysPerQuery : 0
  let high = (position + m) * a.keysPerQuery
  var block = low / keyBlock * keyBlock
  while block < high {
    body(block, max(block, low), min(block + keyBlock, high))
    block += keyBlock
  }
}

/// body(first, end) for the persistent keys.
@inline(__always)
private func forPersistentBlocks(_ a: AttentionPart, _ body: (Int, Int) -> Void) {
  var block = 0
  while block < a.persistent {
    body(block, min(block + keyBlock, a.persistent))
    block += keyBlock
  }
}

/// The keys of j0..<j1 that the query at `t` sees; empty where it sees none.
@inline(__always)
private func seen(_ a: AttentionPart, _ t: Int, _ j0: Int, _ j1: Int) -> (Int, Int) {
  let first = a.window > 0 ? max(j0, (t - a.window + 1) * a.keysPerQuery) : j0
  return (min(first, j1), max(min(first, j1), min(j1, (t + 1) * a.keysPerQuery)))
}

/// One block of the running softmax: s[first..<last] become e^(scale s - top), what lies around them within the block's
/// lanes and within from..<to becomes 0. `rescale` gets the factor for what was summed before.
@inline(__always)
private func softmaxRow(
  _ s: Floats, _ first: Int, _ last: Int, _ from: Int, _ to: Int, _ scale: Float, _ top: Floats,
  _ sum: Floats, _ rescale: (Float) -> Void
) {
  // Lanes are those of the block, so the order of the sum does not depend on where the keys begin.
  let begin = first & ~15, end = (last + 15) & ~15
  if first < last {
    let larger = max(top[0], largest(s + first, last - first) * scale)
    if larger > top[0] {
      let factor = exp16(splat(top[0] - larger))[0]
      if sum[0] > 0 { rescale(factor) }
      sum[0] *= factor
      top[0] = larger
    }
    let (scale, shift) = (splat(scale), splat(-top[0]))
    mapLanes(s + begin, s + begin, end - begin) { exp16(fma($0, scale, shift)) }
  }
  for c in min(from, begin)..<first { s[c] = 0 }
  for c in last..<max(to, end) { s[c] = 0 }
  if first < last {
    var total = Lanes.zero
    for c in stride(from: begin, to: end, by: 16) { total += s.load16(c) }
    sum[0] += laneSum(total)
  }
}

/// For the keys first..<last of n: p = e^(scale p - lse), ds = scale p (ds - delta); 0 for the others.
@inline(__always)
private func probabilityRow(
  _ p: Floats, _ ds: Floats, _ first: Int, _ last: Int, _ n: Int, _ scale: Float, _ lse: Float,
  _ delta: Float
) {
  p.fill(0, count: first)
  ds.fill(0, count: first)
  let (factor, shift, less) = (splat(scale), splat(-lse), splat(-delta))
  var c = first
  while c < last {
    let count = min(16, last - c)
    let e = exp16(fma(p.load(c, count), factor, shift))
    p.store(e, c, count)
    ds.store((ds.load(c, count) + less) * e * factor, c, count)
    c += 16
  }
  (p + last).fill(0, count: n - last)
  (ds + last).fill(0, count: n - last)
}

private func scaleRow(_ x: Floats, _ n: Int, by factor: Float) {
  let factor = splat(factor)
  mapLanes(x, x, n) { $0 * factor }
}

/// C[m, n] += A[m, k] B[k, n] for any n: each element one chain over k.
private func columnsProduct(
  _ c: Floats, _ ldc: Int, _ a: Floats, _ lda: Int, _ b: Floats, _ ldb: Int, _ m: Int, _ n: Int,
  _ k: Int
) {
  let whole = n & ~15
  if whole > 0 { tileGEMM(c, ldc, a, lda, b, ldb, m, whole, k, accumulate: true) }
  if whole < n { lastColumns(c + whole, ldc, a, lda, 1, b + whole, ldb, m, n - whole, k) }
}

/// C[m, n] += A[k, m]ᵀ B[k, n] for any n.
private func rowsProduct(
  _ c: Floats, _ ldc: Int, _ a: Floats, _ lda: Int, _ b: Floats, _ ldb: Int, _ m: Int, _ n: Int,
  _ k: Int
) {
  let whole = n & ~15
  if whole > 0 { tileGEMMTransposedA(c, ldc, a, lda, b, ldb, m, whole, k, accumulate: true) }
  if whole < n { lastColumns(c + whole, ldc, a, 1, lda, b + whole, ldb, m, n - whole, k) }
}

/// Fewer than 16 columns.
private func lastColumns(
  _ c: Floats, _ ldc: Int, _ a: Floats, _ aRow: Int, _ aStep: Int, _ b: Floats, _ ldb: Int, _ m: Int,
  _ n: Int, _ k: Int
) {
  for i in 0..<m {
    var sum = (c + i * ldc).loadPart(0, n)
    for p in 0..<k { sum.addProduct(splat(a[i * aRow + p * aStep]), (b + p * ldb).loadPart(0, n)) }
    (c + i * ldc).storePart(sum, 0, n)
  }
}
