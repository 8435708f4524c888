import Foundation
import Nested

/// Runs steps; the objects they have made are in one name space.
final class Driver {
  private let vocab: Int
  private let context: Context
  private let feedSize: Int
  private var objects: [String: any Sendable] = [:]

  init(vocab: Int, threads: Int, feedSize: Int) throws {
    self.vocab = vocab
    self.feedSize = feedSize
    context = try Context(threads: threads)
  }

  func run(_ json: JSON) throws {
    let step = Step(json: json, vocab: vocab)
    let lines = Lines(id: try step.text("id"))
    let name = step["as"]?.text
    if let name { objects[name] = nil }
    do {
      let made = try perform(step, lines)
      if let name { objects[name] = made }
      if let model = made as? Model { lines.line("params", try model.info.parameters) }
      if try step.text("step") == "model", let model = made as? Model {
        lines.line("fingerprint", "#" + hexadecimal(try model.info.fingerprint))
      }
      if try step.text("step") == "snapshot", let snapshot = made as? Snapshot {
        lines.bytes("bytes", try snapshot.bytes())
      }
    } catch let error as NestedError {
      lines.line("error", error.status.description, error.place)
    }
  }

  private func object<Kind>(_ name: String, _ kind: Kind.Type = Kind.self) throws -> Kind {
    guard let object = objects[name] as? Kind else { throw Unusable("no \(kind) \(name)") }
    return object
  }

  private func of<Kind>(_ step: Step, _ kind: Kind.Type = Kind.self) throws -> Kind {
    try object(step.text("of"))
  }

  /// Returns what the step makes.
  private func perform(_ step: Step, _ lines: Lines) throws -> (any Sendable)? {
    switch try step.text("step") {
    case "model":
      let configuration = try Configuration(step["config"] ?? [:])
      return try Model(configuration, seed: UInt64(step.integer("seed")), in: context)
    case "clone": return try of(step, Model.self).clone()
    case "trainer": return try Trainer(of(step, Model.self), options: step["options"] ?? [:])
    case "session":
      return try Session(
        of(step, Model.self), learn: mode(step.text("learn")), seed: UInt64(step.integer("seed")))
    case "snapshot": return try of(step, Session.self).snapshot()
    case "fork": return try of(step, Session.self).fork()
    case "reread":
      let snapshot = try object(step.text("snapshot"), Snapshot.self)
      return try Snapshot(
        bytes: snapshot.bytes(delta: step["delta"]?.isTrue == true), model: of(step, Model.self))
    case "load_model": return try Model(contentsOf: step.text("file"), in: context)
    case "load_session":
      return try Session(contentsOf: step.text("file"), model: of(step, Model.self))
    case "consolidate": return try consolidate(step)
    case "stack":
      return try of(step, Model.self).stacked(
        cms: step["cms"], pretrained: step["pretrained"]?.integer ?? 0,
        seed: UInt64(step["seed"]?.integer ?? 0))
    case "weights": lines.floats("weights", try of(step, Model.self).parameters)
    case "scale": try scale(step, lines)
    case "evaluate":
      let batch = try step.batch()
      let evaluation = try of(step, Model.self).evaluate(batch)
      write(evaluation, lines)
      if batch.vectors != nil { lines.line("accuracy", evaluation.accuracy) }
    case "forward":
      let (model, batch) = (try of(step, Model.self), try step.batch())
      let answers = try batch.vectors == nil ? model.forward(batch) : model.forwardRows(batch)
      lines.floats("logits", answers.values)
    case "feed_vectors": try feedVectors(step, lines)
    case "teach":
      let evaluation = try of(step, Session.self).teach(step.batch())
      write(evaluation, lines)
      lines.line("accuracy", evaluation.accuracy)
    case "predict":
      lines.floats("answers", try of(step, Session.self).predict(step.batch()).values)
    case "train":
      for k in 0..<(try step.integer("steps")) {
        write("step.\(k)", try of(step, Trainer.self).step(step.batch(k)), lines)
      }
    case "accumulate": write(try of(step, Trainer.self).accumulate(step.batch()), lines)
    case "gradient":
      let gradient = try of(step, Trainer.self).gradient
      lines.floats("gradient", gradient.values)
      lines.line("targets", gradient.targets)
    case "exchange":
      let pair = try step.names("of").map { try object($0, Trainer.self) }
      var sum = try pair[0].gradient
      try sum.add(pair[1].gradient)
      for trainer in pair { try trainer.setGradient(sum) }
    case "apply": write("step", try of(step, Trainer.self).apply(), lines)
    case "zero": try of(step, Trainer.self).zero()
    case "fit":
      let fit = try of(step, Trainer.self).fit(
        step.tokens(), steps: step.integer("steps"), batch: step.integer("rows"),
        length: step.integer("length"), run: countdown(step))
      lines.line("steps", fit.steps)
      lines.line("skipped", fit.skipped)
      lines.line("loss", fit.meanLoss, fit.lastLoss)
    case "learn": try of(step, Session.self).setLearn(mode(step.text("mode")))
    case "feed": try feed(step, lines)
    case "read":
      let fed = try of(step, Session.self).feed(step.tokens(), run: countdown(step))
      lines.line("read", fed.consumed, fed.loss, fed.updates)
    case "info":
      let info = try of(step, Session.self).info
      lines.line("session", info.position, info.updates, info.skipped)
    case "output": lines.floats("logits", try of(step, Session.self).output)
    case "score":
      lines.floats("logprobs", try of(step, Session.self).score(step.tokens()).logProbabilities)
    case "generate": try generate(step, lines)
    case "feed_many": try feedMany(step, lines)
    case "levels": for level in try of(step, Session.self).levels { write(level, lines) }
    case "control": try control(step)
    case "flush":
      try of(step, Session.self).flushLevels(layer: step.index("layer"), level: step.index("level"))
    case "forget":
      try of(step, Session.self).resetLevels(layer: step.index("layer"), level: step.index("level"))
    case "delta": lines.bytes("bytes", try of(step, Snapshot.self).bytes(delta: true))
    case "restore":
      try of(step, Session.self).restore(object(step.text("snapshot"), Snapshot.self))
    case "reset": try of(step, Session.self).reset()
    case "save": try save(step, lines)
    case "load_trainer": try of(step, Trainer.self).load(from: step.text("file"))
    case "release": for name in try step.names("of") { objects[name] = nil }
    case let kind: throw Unusable("unknown step \(kind)")
    }
    return nil
  }

  private func mode(_ name: String) throws -> LearnMode {
    guard let mode = LearnMode.allCases.first(where: { "\($0)" == name }) else {
      throw Unusable("no mode \(name)")
    }
    return mode
  }

  /// Says stop in the k-th progress call, where the step wants that.
  private func countdown(_ step: Step) -> Run {
    guard var left = step["cancel_at"]?.integer else { return Run() }
    return Run { _ in
      left -= 1
      return left == 0 ? .stop : .continue
    }
  }

  private func scale(_ step: Step, _ lines: Lines) throws {
    let (model, name) = (try of(step, Model.self), try step.text("tensor"))
    let factor = Float(step["factor"]?.number ?? 1)
    var tensor = try model.tensor(named: name)
    for index in tensor.values.indices { tensor.values[index] *= factor }
    try model.setTensor(named: name, to: tensor)
    lines.floats("tensor", try model.tensor(named: name).values)
  }

  private func feed(_ step: Step, _ lines: Lines) throws {
    let tokens = try step.tokens()
    let size = feedSize > 0 ? feedSize : tokens.count
    var logits: [Float] = []
    for start in stride(from: 0, to: tokens.count, by: size) {
      let piece = tokens[start..<min(start + size, tokens.count)]
      logits += try of(step, Session.self).feed(piece, logits: .all).logits?.values ?? []
    }
    lines.floats("logits", logits)
  }

  private func feedVectors(_ step: Step, _ lines: Lines) throws {
    guard let vectors = try step.batch().vectors else { throw Unusable("no vectors") }
    let (count, width) = (vectors.shape[0], vectors.shape[2])
    let size = feedSize > 0 ? feedSize : count
    var outputs: [Float] = []
    for start in stride(from: 0, to: count, by: size) {
      let piece = vectors.values[start * width..<min(start + size, count) * width]
      outputs +=
        try of(step, Session.self).feed(vectors: Array(piece), logits: .all).logits?.values ?? []
    }
    lines.floats("outputs", outputs)
  }

  private func feedMany(_ step: Step, _ lines: Lines) throws {
    let sessions = try step.names("of").map { try object($0, Session.self) }
    let tokens = try step.tokens()
    var logits: [Float] = []
    for start in stride(from: 0, to: tokens.count, by: sessions.count) {
      let round = tokens[start..<min(start + sessions.count, tokens.count)]
      logits += try Session.feedEach(sessions, round).values
    }
    lines.floats("logits", logits)
  }

  private func generate(_ step: Step, _ lines: Lines) throws {
    let stop = try Cancellation()
    var logProbabilities: [Double] = []
    let result = try of(step, Session.self).generate(
      step.integer("count"),
      sampling: Sampling(
        temperature: step["temperature"]?.number ?? 0, topK: step["top_k"]?.integer ?? 0,
        topP: step["top_p"]?.number ?? 0, minP: step["min_p"]?.number ?? 0,
        repetitionPenalty: step["repetition_penalty"]?.number ?? 0,
        repetitionWindow: step["repetition_window"]?.integer ?? 0,
        stop: step["stop"]?.elements?.compactMap { $0.integer.map(Int32.init) } ?? []),
      run: Run(cancellation: stop)
    ) { event in
      logProbabilities.append(event.logProbability)
      if logProbabilities.count == step["cancel_at"]?.integer { stop.raise() }
      return logProbabilities.count == step["stop_at"]?.integer ? .stop : .continue
    }
    lines.line("tokens", result.tokens)
    lines.line("logprobs", logProbabilities)
    lines.line("finish", "\(result.finish)")
  }

  private func control(_ step: Step) throws {
    let session = try of(step, Session.self)
    let (layer, level) = (try step.index("layer"), try step.index("level"))
    if let factor = step["scale"]?.number {
      try session.scaleLearningRate(factor, layer: layer, level: level)
    } else if step["freeze"]?.isTrue == true {
      try session.freeze(layer: layer, level: level)
    } else {
      try session.thaw(layer: layer, level: level)
    }
  }

  private func save(_ step: Step, _ lines: Lines) throws {
    let (name, file) = (try step.text("of"), try step.text("file"))
    switch objects[name] {
    case let model as Model: try model.save(to: file, sync: false)
    case let trainer as Trainer: try trainer.save(to: file, sync: false)
    default:
      let session = try object(name, Session.self)
      try session.save(to: file, delta: step["delta"]?.isTrue == true, sync: false)
    }
    lines.bytes("file", [UInt8](try Data(contentsOf: URL(filePath: file))))
  }

  private func consolidate(_ step: Step) throws -> Model {
    try of(step, Model.self).consolidating(
      step.names("sessions").map { try object($0, Session.self) },
      weights: step["weights"]?.elements?.compactMap(\.number),
      levels: step["levels"]?.elements?.compactMap(\.integer),
      strength: step["strength"]?.number ?? 1, maxNorm: step["max_norm"]?.number ?? 0)
  }
}

private func write(_ evaluation: Evaluation, _ lines: Lines) {
  lines.line("loss", evaluation.loss)
  lines.line("targets", evaluation.targets)
}

private func write(_ field: String, _ step: Nested.Step, _ lines: Lines) {
  lines.line(
    field, step.isApplied, step.step, step.loss, step.gradientNorm, step.updateNorm,
    step.learningRate, step.targets)
}

private func write(_ level: Level, _ lines: Lines) {
  lines.line(
    "level.\(level.layer).\(level.level)", level.chunk, level.isFrozen, level.lastUpdate ?? -1,
    level.nextUpdate ?? -1, level.updates, level.skipped, level.parameters, level.learningRate,
    level.weightNorm, level.deltaNorm, level.lastGradientNorm, level.lastUpdateNorm,
    level.pendingNorm)
}
