import ArgumentParser
import Nested

struct Train: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Train a model on texts.",
    discussion: """
      Writes the model, and beside it the trainer (FILE.trainer.safetensors), with which --resume \
      goes on bit for bit. Ctrl-C finishes the step, saves both and exits 130.

      EXAMPLES:
        nested-cli train book.txt --output book.safetensors
        nested-cli train a.txt b.txt -o ab.safetensors --steps 500 --checkpoint 100
        nested-cli train a.txt b.txt -o ab.safetensors --steps 500 --resume
        nested-cli train new.txt --from ab.safetensors -o c.safetensors --lr 1e-3
        nested-cli train a.txt -o wide.safetensors \\
          --config '{"preset": "hope-1m", "d_model": 192}'
      """)

  @Argument(
    help: "Texts, read as bytes and put one after the other; - is standard input.",
    completion: .file())
  var texts: [String]

  @Option(
    name: .shortAndLong, help: ArgumentHelp("The model's file.", valueName: "file"),
    completion: .safetensors)
  var output: String

  @OptionGroup(title: "The new model (one of)") var source: ModelSource

  @Option(
    help: ArgumentHelp("Optimizer steps in all, those before a --resume included.", valueName: "n"))
  var steps = 1000

  @Option(help: ArgumentHelp("Windows of the texts in a step.", valueName: "n"))
  var batch = 8

  @Option(help: ArgumentHelp("Bytes in a window.", valueName: "n"))
  var length = 256

  @OptionGroup(title: "The optimizer (--resume has that of the file)")
  var optimizer: OptimizerOptions

  @Option(help: ArgumentHelp("Save every so many steps; 0 = at the end only.", valueName: "n"))
  var checkpoint = 0

  @Option(help: ArgumentHelp("Report every so many steps; 0 = twenty times.", valueName: "n"))
  var every = 0

  @Flag(help: "Go on with the saved model and trainer of --output.")
  var resume = false

  @Flag(help: "Overwrite --output.")
  var force = false

  @OptionGroup var threads: Threads
  @OptionGroup var console: Console

  func validate() throws {
    guard steps > 0 else { throw ValidationError("--steps is at least 1.") }
    guard (1...1 << 20).contains(batch), (1...1 << 20).contains(length) else {
      throw ValidationError("--batch and --length are from 1 to 1048576.")
    }
    guard checkpoint >= 0, every >= 0 else {
      throw ValidationError("--checkpoint and --every are 0 or more.")
    }
    guard !resume || !force else {
      throw ValidationError("--resume goes on with what --force would overwrite; give one.")
    }
  }

  func run() throws {
    let files = Checkpoint(model: output)
    try prepare(files)
    Interrupt.watch()
    let tokens = try Input.all(of: texts).map(Int32.init)
    guard tokens.count > length else {
      throw Failure(.usage, "the texts have \(tokens.count) bytes; --length must be less")
    }
    let context = try threads.context()
    let model =
      try resume
      ? reopen(context) : source.model(context, seed: UInt64(optimizer.seed ?? 0))
    let trainer = try Trainer(model, options: optimizer.json(steps: steps))
    var done = try resume ? restore(trainer, files) : 0
    let pace = every > 0 ? every : max(1, steps / 20)
    let targets = try batch * length * accumulated(trainer)
    var (all, part) = (Meter(), Meter())
    var skipped = 0
    while done < steps && Interrupt.signal == nil {
      let fit = try trainer.fit(tokens, steps: 1, batch: batch, length: length)
      done += 1
      skipped += fit.skipped
      all.add(tokens: targets, count: targets, loss: fit.meanLoss)
      part.add(tokens: targets, count: targets, loss: fit.meanLoss)
      if done % pace == 0 {
        try report("step", done, skipped, part)
        part = Meter()
      }
      if checkpoint > 0 && done % checkpoint == 0 && done < steps { try files.save(model, trainer) }
      console.progress(
        "step \(done)/\(steps)  \(all.text)  \(all.left(Double(steps - done) * Double(targets)))")
    }
    try files.save(model, trainer)
    try report("saved", done, skipped, all)
    guard let signal = Interrupt.signal else { return }
    if done < steps {
      console.hint(
        "saved at step \(done); the same command with --resume\(force ? " instead of --force" : "") goes on"
      )
    }
    throw Stopped(signal: signal)
  }

  /// Before the work: may the result be written?
  private func prepare(_ files: Checkpoint) throws(Failure) {
    guard !resume else {
      try files.settle()
      for file in [files.model, files.trainer] where !exists(file) {
        throw Failure(.noInput, "\(file) is not there to go on with; leave --resume out to begin")
      }
      return
    }
    for file in [files.model, files.trainer] {
      try checkOutput(file, force: force, advice: "--resume goes on with it, --force overwrites it")
    }
    files.discard()
  }

  /// The model of a run that goes on; of the configuration that it began with, if that is given again.
  private func reopen(_ context: Context) throws -> Model {
    let model = try Model.reading(output, context)
    if source.isConfiguration, try source.configuration() != model.configuration {
      throw Failure(.usage, "\(output) has another configuration; leave --preset and --config out")
    }
    return model
  }

  /// Puts the trainer where it was saved; returns the steps made, those that were skipped too: a
  /// window drawn for each row.
  private func restore(_ trainer: Trainer, _ files: Checkpoint) throws -> Int {
    try about(files.trainer) { try trainer.load(from: files.trainer) }
    let options = try Document(text: trainer.options.utf8, of: files.trainer)
    try optimizer.check(saved: options, files.trainer)
    let counters = try SavedFile(files.trainer).integers("counters")
    let rows = try batch * accumulated(trainer)
    guard counters.count > 2, counters[2] % rows == 0 else {
      throw Failure(.usage, "\(files.trainer) is of a run with another --batch")
    }
    return counters[2] / rows
  }

  /// Batches in a step.
  private func accumulated(_ trainer: Trainer) throws -> Int {
    let options = try Document(text: trainer.options.utf8, of: output)
    return min(1 << 20, options["accumulate"].integer ?? 1)
  }

  private func report(_ event: String, _ done: Int, _ skipped: Int, _ meter: Meter) throws {
    try console.note(
      [
        "event": .string(event), "model": .string(output), "step": .integer(done),
        "steps": .integer(steps), "loss": .finite(meter.loss), "bits_per_byte": .finite(meter.bits),
        "tokens_per_second": .finite(meter.rate), "skipped_steps": .integer(skipped),
      ],
      (event == "saved" ? "\(output)  " : "")
        + "step \(done)/\(steps)  loss \(fixed(meter.loss, 4))  \(meter.text)"
        + (skipped > 0 ? "  \(skipped) steps skipped: lower --lr" : ""))
  }
}
