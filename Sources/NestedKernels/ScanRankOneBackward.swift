import NestedBase

// The adjoint of ScanRankOne over one chunk, in the same factored form. With Λ_t = dL/dW_t,
//
//     dr_t = -Λ_t z_t        dg_t = η_t dr_t        dη_t = dr_t·x_t
//     Λ_{t-1} = α_t Λ_t + dg_t z_tᵀ [delta] + dy_t q_tᵀ                          y_t = W_{t-1} q_t, what was read
//     α_t dα_t = φ_t - r_t·dr_t,   φ_t = ⟨Λ_t, W_t⟩,   φ_{t-1} = φ_t - dg_t·g_t + dy_t·y_t
//
// The last line gives the gradient of log α without dividing by α. Derivations, and the terms that momentum
// adds (Ω_t = dL/dS_t, ψ_t = ⟨Λ_t, S_t⟩), are in this folder's README.

/// One chunk of one weight, as the backward pass sees it. Rows before `first` are a stream's pending rows: constants.
struct RankOneChunk {
  var layout: WeightLayout
  var mu: Float
  var delta: Bool
  var mask: Floats  // [m]
  var count: Int  // rows, pending ones included
  var first: Int
  var w: Floats, s: Floats  // W_c, S_c [n, m]
  var end: Floats  // W at the chunk's end, read only if `lambdaIsZero` is false
  var lambda: Floats, omega: Floats  // [n, m] dL/dW, dL/dS at the end; on return at the start
  var lambdaIsZero: Bool
  var z: Floats  // [count, n]
  var x: Floats  // [count, m] x_t (W_{t-1} z_t with momentum)
  var g: Floats  // [count, m]
  var eta: Floats, alpha: Floats  // [count]
  var pending: Floats  // a WeightLayout state with the pending rows' R, G and coefficients
  // What was read, or nil: y_t = W_{t-1} q_t.
  var q: Floats?, y: Floats?, dy: Floats?
  /// Rows e_t with an additional Λ_c += Σ e_t dg_tᵀ, or nil.
  var extra: Floats?
  // Outputs.
  var dg: Floats  // [count, m] =
  var dgw: Floats  // [count, n] = dg W_cᵀ
  var dz: Floats, dq: Floats  // [count, n] +=
  var dEta: Floats, dLogAlpha: Floats  // [count] +=

  static func scratchSize(_ l: WeightLayout) -> Int {
    let c = l.chunk
    return 4 * (c + 1) * roundUp16(c) + c * (8 * l.m + 2 * l.n) + 8 * roundUp16(c + 1) + 16 * 32
  }

  func run(_ scratch: Scratch) {
    var scratch = scratch
    let n = layout.n, m = layout.m, momentum = layout.momentum
    let ld = roundUp16(count)
    let reads = dy != nil

    // Γ(t-1, s), and with momentum Σ_j Γ(t-1, j) η_j μ^{j-s}: row `count` holds the values at the chunk's end.
    let a = scratch.take((count + 1) * ld)
    let mm = scratch.take(momentum ? (count + 1) * ld : 0)
    let before = scratch.take(count + 1)  // Γ(t-1, c)
    let kappa = scratch.take(count + 1)
    let muPower = scratch.take(count + 1)  // μ^t, the power of S_c before row t
    let powers = scratch.take(count)
    coefficients(a, mm, ld, before, kappa, muPower, powers)

    // r_t, and g_t as written.
    let r = scratch.take(count * m)
    let gm = scratch.take(momentum ? count * m : 0)
    r.copy(from: pending + layout.r, count: first * m)
    if momentum { gm.copy(from: pending + layout.g, count: first * m) }
    for t in first..<count {
      rowScaleMasked(r + t * m, eta[t], x + t * m, mask, m)
      if momentum { rowScaleMasked(gm + t * m, 1, g + t * m, mask, m) }
    }

    let lz = scratch.take(count * m)
    let oz = scratch.take(momentum ? count * m : 0)
    let rows = count - first
    if !lambdaIsZero {
      tileGEMM(lz + first * m, m, z + first * n, n, lambda, m, rows, m, n, accumulate: false)
      if momentum { tileGEMM(oz + first * m, m, z + first * n, n, omega, m, rows, m, n, accumulate: false) }
    }

    // Backwards through the rows: dr (dp with momentum) and dg.
    let dr = scratch.take(count * m)
    let dw = momentum ? scratch.take(count * m) : dg  // η dr: what reaches W_{t-1} z_t
    let zz = scratch.take(count * ld), qz = scratch.take(reads ? count * ld : 0)
    var t = count - 1
    while t >= first {
      let drt = dr + t * m, dgt = dg + t * m
      if lambdaIsZero {
        drt.fill(0, count: m)
        if momentum { dgt.fill(0, count: m) }
      } else {
        rowScale(drt, -a[count * ld + t], lz + t * m, m)
        if momentum {
          rowScale(dgt, muPower[count - 1 - t], oz + t * m, m)
          rowAdd(dgt, -mm[count * ld + t], lz + t * m, m)
        }
      }
      var later = t + 1
      while later < count {
        if delta {
          let product = rowDot(z + later * n, z + t * n, n)
          zz[later * ld + t] = product
          rowAdd(drt, -a[later * ld + t] * product, dw + later * m, m)
          if momentum { rowAdd(dgt, -mm[later * ld + t] * product, dw + later * m, m) }
        }
        if let q, let dy {
          let product = rowDot(q + later * n, z + t * n, n)
          qz[later * ld + t] = product
          rowAdd(drt, -a[later * ld + t] * product, dy + later * m, m)
          if momentum { rowAdd(dgt, -mm[later * ld + t] * product, dy + later * m, m) }
        }
        later += 1
      }
      rowScaleMasked(drt, 1, drt, mask, m)
      if momentum {
        rowScaleMasked(dgt, 1, dgt, mask, m)
        rowScale(dw + t * m, delta ? eta[t] : 0, drt, m)
      } else {
        rowScale(dgt, eta[t], drt, m)
      }
      t -= 1
    }

    let psi = scratch.take(count)
    if momentum {
      momentumProducts(psi, a, ld, muPower, lz, gm, dw, zz, qz, &scratch)
    } else {
      psi.fill(0, count: count)
    }
    var phi: Float = lambdaIsZero ? 0 : maskedProduct(lambda, end)
    t = count - 1
    while t >= first {
      let product = rowDot(dr + t * m, x + t * m, m)  // with momentum dp·w, where p = η w
      dEta[t] += (delta || !momentum ? product : 0) - psi[t]
      let written = delta || !momentum ? eta[t] * product : 0
      let kept = phi - written + eta[t] * psi[t]
      dLogAlpha[t] += kept
      phi = momentum ? phi + eta[t] * psi[t] : phi - rowDot(dg + t * m, g + t * m, m)
      if let y, let dy { phi += rowDot(dy + t * m, y + t * m, m) }
      t -= 1
    }

    inputs(a, mm, ld, before, kappa, muPower, r, gm, dw, &scratch)
    carry(a, ld, before, kappa, muPower, dw, &scratch)
  }

  private func coefficients(
    _ a: Floats, _ mm: Floats, _ ld: Int, _ before: Floats, _ kappa: Floats, _ muPower: Floats,
    _ powers: Floats
  ) {
    let momentum = layout.momentum
    let scalars = pending + layout.scalars
    before[first] = first == 0 ? 1 : scalars[0]
    kappa[first] = first == 0 ? 0 : scalars[1]
    muPower[0] = 1
    for t in 0..<count { muPower[t + 1] = muPower[t] * mu }
    for s in 0..<first {
      a[first * ld + s] = (pending + layout.coef)[s]
      if momentum {
        mm[first * ld + s] = (pending + layout.mcoef)[s]
        powers[s] = (pending + layout.powers)[s]
      }
    }
    for t in first..<count {
      let now = a + t * ld, next = a + (t + 1) * ld
      for s in 0..<t { next[s] = now[s] * alpha[t] }
      next[t] = 1
      before[t + 1] = before[t] * alpha[t]
      if momentum {
        let now = mm + t * ld, next = mm + (t + 1) * ld
        for s in 0..<t {
          powers[s] *= mu
          next[s] = alpha[t] * now[s] + eta[t] * powers[s]
        }
        powers[t] = 1
        next[t] = eta[t]
        kappa[t + 1] = alpha[t] * kappa[t] + eta[t] * muPower[t + 1]
      }
    }
  }

  /// ⟨a, b⟩ over the columns that are written.
  private func maskedProduct(_ a: Floats, _ b: Floats) -> Float {
    let n = layout.n, m = layout.m
    var sum = SIMD16<Float>.zero
    for i in 0..<n {
      var j = 0
      while j < m {
        sum.addProduct(a.load16(i * m + j) * mask.load16(j), b.load16(i * m + j))
        j += 16
      }
    }
    return sum.sum()
  }

  /// ψ_t = ⟨Λ_t, S_t⟩ for every row.
  private func momentumProducts(
    _ psi: Floats, _ a: Floats, _ ld: Int, _ muPower: Floats, _ lz: Floats, _ gm: Floats, _ dw: Floats,
    _ zz: Floats, _ qz: Floats, _ scratch: inout Scratch
  ) {
    let n = layout.n, m = layout.m
    let sz = scratch.take(count * m), sq = scratch.take(count * m)
    let rows = count - first
    tileGEMM(sz + first * m, m, z + first * n, n, s, m, rows, m, n, accumulate: false)
    if let q { tileGEMM(sq + first * m, m, q + first * n, n, s, m, rows, m, n, accumulate: false) }
    let stateProduct = lambdaIsZero ? 0 : maskedProduct(lambda, s)
    let pair = scratch.take(count)  // Σ_{j≤t} μ^{t-j} N[later][j]
    pair.fill(0, count: count)
    for t in 0..<count {
      for later in max(t + 1, first)..<max(count, t + 1) {
        // Pending rows have no products yet.
        var value: Float = 0
        if delta {
          let product = t >= first ? zz[later * ld + t] : rowDot(z + later * n, z + t * n, n)
          value += product * rowDot(dw + later * m, gm + t * m, m)
        }
        if let q, let dy {
          let product = t >= first ? qz[later * ld + t] : rowDot(q + later * n, z + t * n, n)
          value += product * rowDot(dy + later * m, gm + t * m, m)
        }
        pair[later] = mu * pair[later] + value
      }
      if t < first { continue }
      var sum: Float = 0
      if !lambdaIsZero {
        let tail = a[count * ld + t]
        sum += tail * muPower[t + 1] * stateProduct
        for j in 0...t {
          let row = j >= first ? lz + j * m : nil
          if let row {
            sum += tail * muPower[t - j] * rowDot(row, gm + j * m, m)
          } else {
            sum += tail * muPower[t - j] * pendingProduct(j, gm)
          }
        }
      }
      for later in (t + 1)..<max(count, t + 1) {
        let coefficient = a[later * ld + t]
        var products = delta ? rowDot(dw + later * m, sz + later * m, m) : 0
        if let dy { products += rowDot(dy + later * m, sq + later * m, m) }
        sum += coefficient * (muPower[t + 1] * products + pair[later])
      }
      psi[t] = sum
    }
  }

  /// (z_j Λ)·g_j of a pending row.
  private func pendingProduct(_ j: Int, _ gm: Floats) -> Float {
    let n = layout.n, m = layout.m
    var sum: Float = 0
    for i in 0..<n { sum += z[j * n + i] * rowDot(lambda + i * m, gm + j * m, m) }
    return sum
  }

  /// dz, dq and dg W_cᵀ.
  private func inputs(
    _ a: Floats, _ mm: Floats, _ ld: Int, _ before: Floats, _ kappa: Floats, _ muPower: Floats, _ r: Floats,
    _ gm: Floats, _ dw: Floats, _ scratch: inout Scratch
  ) {
    let n = layout.n, m = layout.m, momentum = layout.momentum
    let rows = count - first
    let product = scratch.take(count * n)
    func times(_ x: Floats, _ weight: Floats, _ out: Floats) {
      tileGEMMTransposedB(out + first * n, n, x + first * m, m, weight, m, rows, n, m, accumulate: false)
    }
    times(dg, w, dgw)
    // -Λ_tᵀ r_t and Ω'_tᵀ g_t: the chunk's end.
    if !lambdaIsZero {
      times(r, lambda, product)
      for t in first..<count where delta || !momentum {
        rowAdd(dz + t * n, -a[count * ld + t], product + t * n, n)
      }
      if momentum {
        times(gm, omega, product)
        for t in first..<count { rowAdd(dz + t * n, muPower[count - 1 - t], product + t * n, n) }
        times(gm, lambda, product)
        for t in first..<count { rowAdd(dz + t * n, -mm[count * ld + t], product + t * n, n) }
      }
    }
    // W_{t-1}ᵀ dw_t and W_{t-1}ᵀ dy_t: the chunk's start.
    func fromStart(_ d: Floats, _ to: Floats, _ known: Floats?) {
      if known == nil { times(d, w, product) }
      for t in first..<count { rowAdd(to + t * n, before[t], (known ?? product) + t * n, n) }
      if momentum {
        times(d, s, product)
        for t in first..<count { rowAdd(to + t * n, -kappa[t], product + t * n, n) }
      }
    }
    if delta { fromStart(dw, dz, momentum ? nil : dgw) }
    if let dy { fromStart(dy, dq, nil) }
    // Pairs of rows s < t.
    for t in first..<count {
      for s in 0..<t {
        let at = a[t * ld + s], mt = momentum ? mm[t * ld + s] : 0
        if delta {
          var value = at * rowDot(dw + t * m, r + s * m, m)
          if momentum { value += mt * rowDot(dw + t * m, gm + s * m, m) }
          rowAdd(dz + t * n, -value, z + s * n, n)
          if s >= first { rowAdd(dz + s * n, -value, z + t * n, n) }
        }
        if let q, let dy {
          var value = (delta || !momentum) ? at * rowDot(dy + t * m, r + s * m, m) : 0
          if momentum { value += mt * rowDot(dy + t * m, gm + s * m, m) }
          rowAdd(dq + t * n, -value, z + s * n, n)
          if s >= first { rowAdd(dz + s * n, -value, q + t * n, n) }
        }
      }
    }
  }

  /// Λ and Ω from the chunk's end to its start.
  private func carry(
    _ a: Floats, _ ld: Int, _ before: Floats, _ kappa: Floats, _ muPower: Floats, _ dw: Floats,
    _ scratch: inout Scratch
  ) {
    let n = layout.n, m = layout.m, momentum = layout.momentum
    let rows = count - first
    let left = scratch.take(count * n)
    if momentum {
      // Ω_c = μ^C Ω - κ_C Λ - Σ κ_t (z_t dw_tᵀ + q_t dy_tᵀ)
      let end = muPower[count - first]
      var i = 0
      while i < n * m {
        let value = lambdaIsZero
          ? SIMD16<Float>.zero : end * omega.load16(i) - kappa[count] * lambda.load16(i)
        omega.store16(value, i)
        i += 16
      }
      func add(_ rowsLeft: Floats, _ right: Floats) {
        for t in first..<count { rowScale(left + t * n, -kappa[t], rowsLeft + t * n, n) }
        tileGEMMTransposedA(
          omega, m, left + first * n, n, right + first * m, m, n, m, rows, accumulate: true)
      }
      if delta { add(z, dw) }
      if let q, let dy { add(q, dy) }
    }
    if lambdaIsZero {
      lambda.fill(0, count: n * m)
    } else {
      let decay = before[count]
      for i in 0..<n {
        var j = 0
        while j < m {
          let keep = mask.load16(j)
          lambda.store16(lambda.load16(i * m + j) * (decay * keep + (1 - keep)), i * m + j)
          j += 16
        }
      }
    }
    func add(_ right: Floats, _ rowsLeft: Floats?, _ extra: Floats?) {
      for t in first..<count {
        let to = left + t * n
        if let rowsLeft {
          rowScale(to, before[t], rowsLeft + t * n, n)
          if let extra { rowAdd(to, 1, extra + t * n, n) }
        } else if let extra {
          to.copy(from: extra + t * n, count: n)
        }
      }
      tileGEMMTransposedA(
        lambda, m, left + first * n, n, right + first * m, m, n, m, rows, accumulate: true)
    }
    if momentum {
      if delta { add(dw, z, nil) }
      if let extra { add(dg, nil, extra) }
    } else if delta {
      add(dg, z, extra)
    } else if let extra {
      add(dg, nil, extra)
    }
    if let q, let dy { add(dy, q, nil) }
  }
}
