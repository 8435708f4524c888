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
    let total = gradientCount + plan.inputCount
    for start in stride(from: 0, to: total, by: bucket) {
      try allReduce(.gradient(candidateStorage.floats + start, count: min(bucket, total - start)))
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
    for matrix in plan.matrices where matrix.inputs >= 0 && plan.runs[matrix.run].pending >= 0 {
      let level = plan.runs[matrix.run].level
      if clock.targets[level] > 0 && clock.isDue(level, adding: count) {
        let sum = candidate + (gradientCount + matrix.inputs)
        kernels.add(sum, sum, pending + (plan.pendingCount + matrix.inputs), matrix.columns)
      }
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

  /// What an update of these parameters needs to know, or nil when their level is not due. The counters are those before
  /// the step.
  private func updateStep(
    _ run: UpdatePlan.Run, _ count: Double, _ clip: Double, _ learningRate: Double
  ) -> UpdateStep? {
    let clock = counters.clock
    if run.level >= 0 && !clock.isDue(run.level, adding: count) { return nil }
    let targets = run.level >= 0 ? clock.targets[run.level] + count : count
    // Groups keep their ratio to the base rate under schedule and override alike.
    let factor = options.lr > 0 ? learningRate / options.lr : 1
    return UpdateStep(
      number: run.level >= 0 ? clock.steps[run.level] + 1 : counters.step + 1,
      learningRate: run.lr == options.lr ? learningRate : run.lr * factor,
      weightDecay: run.weightDecay, gradientScale: clip / targets, inputScale: 1 / targets)
  }

  /// The update itself, in place; what is not due moves to `pending`. Returns the norm of the
  /// change.
  private func move(_ w: Floats, _ count: Double, _ clip: Double, _ learningRate: Double) -> Double
  {
    let clocks = 1 + counters.clock.periods.count
    let (kernels, candidate, state) = (model.runtime.kernels, candidateStorage.floats, state.floats)
    let (pending, scratch, stateStride) = (pending.floats, scratch.floats, gradientCount)
    let (plan, partials) = (plan, partials)
    let steps = plan.runs.map { updateStep($0, count, clip, learningRate) }
    partials.fill(0)
    forEachBlock { (block, lane) in
      let run = plan.runs[block.run]
      let g = candidate + block.offset
      let waiting = pending + (run.pending + block.offset - run.offset)
      guard let now = steps[block.run] else {
        kernels.add(waiting, waiting, g, block.count)
        return
      }
      if run.pending >= 0 { waiting.fill(0, count: block.count) }
      if run.byMatrix { return }
      let before = scratch + lane * UpdatePlan.blockSize
      let weights = w + block.offset
      before.copy(from: weights, count: block.count)
      plan.optimizers[run.optimizer].update(
        weights, state + block.offset, stride: stateStride, g, count: block.count, step: now,
        kernels: kernels)
      kernels.axpy(before, weights, -1, block.count)  // -Δw
      partials[lane * clocks] += kernels.sumOfSquares(before, block.count)
    }
    var sum = moveMatrices(w, steps)
    for lane in 0..<UpdatePlan.lanes { sum += partials[lane * clocks] }
    return sum.squareRoot()
  }

  /// The matrices that are updated as wholes: small ones side by side, then large ones with all threads. Returns the sum of
  /// the squares of the change.
  private func moveMatrices(_ w: Floats, _ steps: [UpdateStep?]) -> Double {
    let (kernels, threads) = (model.runtime.kernels, model.runtime.threads)
    let (candidate, state, stride) = (candidateStorage.floats, state.floats, gradientCount)
    let (plan, scratch, partials) = (plan, matrixScratch.floats, matrixPartials)
    let (inputs, waiting) = (candidate + gradientCount, pending.floats + plan.pendingCount)
    func move(_ index: Int, _ room: Floats) {
      let matrix = plan.matrices[index]
      partials[index] = 0
      let waits = matrix.inputs >= 0 && plan.runs[matrix.run].pending >= 0
      guard let now = steps[matrix.run] else {
        if waits {
          let sum = waiting + matrix.inputs
          kernels.add(sum, sum, inputs + matrix.inputs, matrix.columns)
        }
        return
      }
      if waits { (waiting + matrix.inputs).fill(0, count: matrix.columns) }
      let weights = w + matrix.offset, before = room
      before.copy(from: weights, count: matrix.count)
      plan.optimizers[plan.runs[matrix.run].optimizer].updateMatrix(
        weights, state + matrix.offset, stride: stride, candidate + matrix.offset,
        rows: matrix.rows, columns: matrix.columns, step: now,
        bench: Workbench(
          kernels: kernels, threads: threads, scratch: room + matrix.count,
          inputs: matrix.inputs >= 0 ? inputs + matrix.inputs : nil))
      kernels.axpy(before, weights, -1, matrix.count)  // -Δw
      partials[index] = kernels.sumOfSquares(before, matrix.count)
    }
    threads.parallel(min(UpdatePlan.matrixLanes, plan.smallCount)) { lane in
      for index in Swift.stride(from: lane, to: plan.smallCount, by: UpdatePlan.matrixLanes) {
        move(index, scratch + lane * plan.matrixScratch)
      }
    }
    for index in plan.smallCount..<plan.matrices.count { move(index, scratch) }
    return plan.matrices.indices.reduce(0) { $0 + partials[$1] }
  }
}
