import ArgumentParser
import Nested

/// Nested's LearnMode, as an option.
enum Learning: String, CaseIterable, ExpressibleByArgument {
  case on, memory, off

  var mode: LearnMode {
    switch self {
    case .on: .on
    case .memory: .memory
    case .off: .off
    }
  }
}

extension Session {
  static func reading(_ path: String, of model: Model) throws -> Session {
    try about(path) { try Session(contentsOf: path, model: model) }
  }

  /// Reads the input to its end, or until a signal asks for the end. What `body` gets is what one
  /// piece did; pieces end where segments do, which costs least.
  func feed(_ input: inout Input, _ body: (_ bytes: Int, Feed, _ predicted: Int) throws -> Void)
    throws
  {
    let piece = 256
    var position = try info.position
    while case let bytes = try input.read(), !bytes.isEmpty {
      var rest = bytes[...]
      while !rest.isEmpty && Interrupt.signal == nil {
        let next = rest.prefix(piece - position % piece)
        let fed = try feed(Array(next))
        try body(next.count, fed, next.count - (position == 0 ? 1 : 0))
        position += next.count
        rest = rest.dropFirst(next.count)
      }
    }
  }
}
