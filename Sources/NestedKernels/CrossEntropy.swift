package import NestedBase

/// lse = ln Σ e^logit, nll = lse - logit[target] in nats, 0 where target < 0. The largest logit is
/// subtracted first, from the target's too: so nll keeps its digits where it is small and the
/// logits are not.
package func crossEntropyForward(
  _ nll: Floats,  // [rows]
  _ lse: Floats,  // [rows]
  _ logits: Floats,  // [rows, vocab]
  _ targets: Tokens,  // [rows], each < vocab; negative: no target
  _ rows: Int, _ vocab: Int
) {
  for r in 0..<rows {
    let row = logits + r * vocab
    let (top, rest) = maxAndLogSum(row, vocab)
    lse[r] = top + rest
    let target = Int(targets[r])
    nll[r] = target < 0 ? 0 : rest + (top - row[target])
  }
}

/// dlogits = scale[row] (softmax(logits) - onehot(target)); zeros where target < 0.
package func crossEntropyBackward(
  _ dlogits: Floats,  // [rows, vocab] =, may be logits
  _ logits: Floats,  // [rows, vocab]
  _ lse: Floats,  // [rows]
  _ targets: Tokens,  // [rows]
  _ scale: Floats,  // [rows]
  _ rows: Int, _ vocab: Int
) {
  for r in 0..<rows {
    let dlogits = dlogits + r * vocab
    let target = Int(targets[r])
    if target < 0 {
      dlogits.fill(0, count: vocab)
      continue
    }
    let (shift, factor) = (splat(lse[r]), splat(scale[r]))
    @inline(__always)
    func softmax(_ x: Lanes) -> Lanes { exp16(x - shift) * factor }
    mapLanes(dlogits, logits + r * vocab, vocab, softmax)
    dlogits[target] -= scale[r]
  }
}

/// top = max x and ln Σ e^(x[i] - top)
private func maxAndLogSum(_ x: Floats, _ n: Int) -> (top: Float, rest: Float) {
  let top = largest(x, n)
  let shift = splat(top)
  var total = Lanes.zero
  var i = 0
  while i < n {
    let count = min(16, n - i)
    total += first(count, of: exp16(x.load(i, count) - shift))
    i += 16
  }
  return (top, log16(splat(laneSum(total)))[0])
}
