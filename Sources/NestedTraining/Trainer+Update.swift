import NestedBase
import NestedLearning
import NestedModels
import NestedTensor

extension Trainer {
  /// Reduces the candidate, judges it, and steps what is due. The weights are the last thing that
  /// can fail (their copy on write); before that only the candidate has changed.
  func update(
    count localCount: Double, lossSum: Double, lossTargets: Double
  ) throws(NestedError) -> StepResult {
    let count = try reduceCandidate(localCount)
    var result = StepResult()
    result.step = counters.step
    result.targets = count
    result.loss = lossTargets > 0 ? lossSum / lossTargets : .nan
    result.learningRate = learningRate
    guard count > 0 else {
      result.skip = .noTargets
      zero()
      return result
    }
    result.gradientNorm = gatherNorm(count)
    guard result.gradientNorm.isFinite else {
      result.skip = .nonFiniteGradient
      zero()
      return result
    }
    let clip = GradientClip.factor(norm: result.gradientNorm, limit: options.clip)
    try model.withMutableWeights { (w: Floats) in
      result.updateNorm = self.move(w, count, clip, result.learningRate)
    }
    counters.step += 1
    counters.clock.advance(by: count)
    result.applied = true
    result.step = counters.step
    zero()
    return result
  }

  /// candidate and count become their sums over all workers, where a hook is set. Returns the
  /// count.
  private func reduceCandidate(_ localCount: Double) throws(NestedError) -> Double {
    guard let allReduce else { return localCount }
    let bucket = bucketSize > 0 ? bucketSize : 1 << 20
    for start in stride(from: 0, to: gradientCount, by: bucket) {
      try allReduce(
        .gradient(candidateStorage.floats + start, count: min(bucket, gradientCount - start)))
    }
    reducedTargets[0] = localCount
    try allReduce(.targets(reducedTargets))
    let count = reducedTargets[0]
    guard count >= 0 && count.isFinite else {
      throw NestedError(.callback, "[trainer] the all-reduce hook returned no valid target count")
    }
    return count
  }

  /// Adds to the levels that are due what they have waited with, and returns the norm of the mean
  /// gradient of everything that steps. Not finite when any element of the batch's gradient is not:
  /// a level that is not due must not collect a bad gradient either.
  private func gatherNorm(_ count: Double) -> Double {
    let clocks = 1 + counters.clock.periods.count
    let (kernels, candidate, pending) = (
      model.runtime.kernels, candidateStorage.floats, pending.floats
    )
    let (plan, clock, partials) = (plan, counters.clock, partials)
    partials.fill(0)
    forEachBlock { (block, lane) in
      let run = plan.runs[block.run]
      let g = candidate + block.offset
      if run.pending >= 0 && clock.targets[run.level] > 0 && clock.isDue(run.level, adding: count) {
        kernels.add(g, g, pending + (run.pending + block.offset - run.offset), block.count)
      }
      partials[lane * clocks + run.level + 1] += kernels.sumOfSquares(g, block.count)
    }
    var stepping = 0.0
    for index in 0..<clocks {
      var sum = 0.0
      for lane in 0..<UpdatePlan.lanes { sum += partials[lane * clocks + index] }
      guard sum.isFinite else { return .nan }
      let level = index - 1
      if level >= 0 && !clock.isDue(level, adding: count) { continue }
      let targets = level >= 0 ? clock.targets[level] + count : count
      stepping += sum / (targets * targets)
    }
    return stepping.squareRoot()
  }

  /// The update itself, in place; what is not due moves to `pending`. Returns the norm of the
  /// change.
  private func move(_ w: Floats, _ count: Double, _ clip: Double, _ learningRate: Double) -> Double
  {
    let clocks = 1 + counters.clock.periods.count
    let (kernels, candidate, state) = (model.runtime.kernels, candidateStorage.floats, state.floats)
    let (pending, scratch, stateStride) = (pending.floats, scratch.floats, gradientCount)
    let (plan, clock, partials) = (plan, counters.clock, partials)
    let (optimizer, step) = (optimizer, counters.step)
    // Groups keep their ratio to the base rate under schedule and override alike.
    let factor = options.lr > 0 ? learningRate / options.lr : 1
    let base = options.lr
    partials.fill(0)
    forEachBlock { (block, lane) in
      let run = plan.runs[block.run]
      let g = candidate + block.offset
      if run.pending >= 0 {
        let waiting = pending + (run.pending + block.offset - run.offset)
        if !clock.isDue(run.level, adding: count) {
          kernels.add(waiting, waiting, g, block.count)
          return
        }
        waiting.fill(0, count: block.count)
      }
      let targets = run.level >= 0 ? clock.targets[run.level] + count : count
      let now = UpdateStep(
        number: run.level >= 0 ? clock.steps[run.level] + 1 : step + 1,
        learningRate: run.lr == base ? learningRate : run.lr * factor,
        weightDecay: run.weightDecay, gradientScale: clip / targets)
      let before = scratch + lane * UpdatePlan.blockSize
      let weights = w + block.offset
      before.copy(from: weights, count: block.count)
      optimizer.update(
        weights, state + block.offset, stride: stateStride, g, count: block.count, step: now,
        kernels: kernels)
      kernels.axpy(before, weights, -1, block.count)  // -Δw
      partials[lane * clocks] += kernels.sumOfSquares(before, block.count)
    }
    var sum = 0.0
    for lane in 0..<UpdatePlan.lanes { sum += partials[lane * clocks] }
    return sum.squareRoot()
  }
}
