import ArgumentParser
import Glibc
import Nested

/// nested-cli: libnested from the command line. README.md says how it is built.
@main
struct NestedCLI: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "nested-cli",
    abstract: "Train and run models that go on learning.",
    discussion: """
      Models read bytes. A session is one stream of a model: it learns from what it reads and leaves \
      the model as it is.

      EXAMPLES:
        nested-cli train book.txt --output book.safetensors
        nested-cli generate book.safetensors --prompt 'Once upon'
        nested-cli learn book.safetensors notes.txt --session notes.safetensors
        nested-cli score book.safetensors more.txt --session notes.safetensors
        nested-cli consolidate book.safetensors notes.safetensors -o new.safetensors

      EXIT STATUS:
        0 done, 64 wrong usage, 65 bad file or configuration, 66 no such input,
        70 bug in the library, 71 no memory, 73 output exists or cannot be written,
        74 input or output failed; 129, 130, 141, 143 ended by SIGHUP, SIGINT
        (Ctrl-C), SIGPIPE, SIGTERM, after saving.

      The manual page nested-cli(1) says more: files, JSON, signals.
      """,
    version: Library.version,
    subcommands: [
      Train.self, Generate.self, Learn.self, Score.self, Consolidate.self, Import.self, Stack.self,
      Info.self, Bench.self,
    ])

  static func main() {
    signal(SIGPIPE, SIG_IGN)  // a write says EPIPE instead
    var name = "nested-cli"
    do {
      var command = try parseAsRoot()
      name += " \(type(of: command))".lowercased()
      try command.run()
    } catch let stopped as Stopped {
      Glibc.exit(128 + stopped.signal)
    } catch let error as NestedError {
      end(name, Failure(error))
    } catch let failure as Failure {
      end(name, failure)
    } catch {
      exit(withError: error)
    }
  }

  private static func end(_ name: String, _ failure: Failure) -> Never {
    Console.clearProgress()
    Standard.error("\(name): \(failure.message)\n")
    Glibc.exit(failure.kind.rawValue)
  }
}
