// The conformance driver in Swift; the contract is ../../../README.md.
//
//     conformance-driver SCENARIO [--threads N] [--feed SIZE]

import Foundation
import Nested

do {
  setlocale(LC_ALL, "")
  var options = ["--threads": 1, "--feed": 0]
  var paths: [String] = []
  var arguments = CommandLine.arguments.dropFirst()
  while let argument = arguments.popFirst() {
    if options[argument] == nil {
      paths.append(argument)
    } else {
      guard let value = arguments.popFirst().flatMap({ Int($0) }) else {
        throw Unusable("\(argument) needs a number")
      }
      options[argument] = value
    }
  }
  guard paths.count == 1 else { throw Unusable("usage: SCENARIO [--threads N] [--feed SIZE]") }
  let scenario = try JSONDecoder().decode(
    JSON.self, from: Data(contentsOf: URL(filePath: paths[0])))
  guard let vocab = scenario["vocab"]?.integer, let steps = scenario["steps"]?.elements else {
    throw Unusable("\(paths[0]) is no scenario")
  }
  let point = localeconv().flatMap { $0.pointee.decimal_point }.map { String(cString: $0) } ?? "?"
  write("# swift, decimal point \(point)")
  do {
    let driver = try Driver(
      vocab: vocab, threads: options["--threads"] ?? 1, feedSize: options["--feed"] ?? 0)
    for step in steps { try driver.run(step) }
  }
  write("end handles \(Library.liveObjects())")
} catch {
  FileHandle.standardError.write(Data("\(error)\n".utf8))
  exit(2)
}
