// A Swift program with the dynamic runtime that loads the library, whose own runtime is static and hidden: each keeps to itself.
// usage: SwiftHost LIBRARY. Prints "ok" and returns 0.
import Glibc

func check(_ condition: Bool, _ what: String) {
  if condition { return }
  print("not ok: \(what)")
  exit(1)
}

let library: UnsafeMutableRawPointer = {
  guard CommandLine.arguments.count == 2, let library = dlopen(CommandLine.arguments[1], RTLD_NOW) else {
    fatalError("usage: SwiftHost LIBRARY")
  }
  return library
}()

func function<F>(_ name: String, as: F.Type) -> F {
  guard let address = dlsym(library, name) else { fatalError(name) }
  return unsafeBitCast(address, to: F.self)
}

typealias Handle = OpaquePointer
typealias Make = @convention(c) (UnsafeRawPointer?, UnsafeMutablePointer<Handle?>) -> Int32
let makeContext = function("nested_context_create", as: Make.self)
let makeConfig = function(
  "nested_config_from_json", as: (@convention(c) (UnsafePointer<CChar>, Int, UnsafeMutablePointer<Handle?>) -> Int32).self)
let makeModel = function(
  "nested_model_create", as: (@convention(c) (Handle?, Handle?, UInt64, UnsafeMutablePointer<Handle?>) -> Int32).self)
let makeSession = function(
  "nested_session_create", as: (@convention(c) (Handle?, UnsafeRawPointer?, UnsafeMutablePointer<Handle?>) -> Int32).self)
typealias Feed = @convention(c) (
  Handle?, UnsafePointer<Int32>, Int, UnsafeRawPointer?, UnsafeRawPointer?, UnsafeMutableRawPointer?
) -> Int32
let feed = function("nested_session_feed", as: Feed.self)
let output = function(
  "nested_session_output",
  as: (@convention(c) (Handle?, UnsafeMutablePointer<Float>, Int, UnsafeMutablePointer<Int>) -> Int32).self)
let live = function("nested_live_handles", as: (@convention(c) (Int32) -> Int64).self)
func release(_ kind: String, _ handle: Handle?) {
  function("nested_\(kind)_release", as: (@convention(c) (Handle?) -> Void).self)(handle)
}

// The host's own generics, existentials, casts and reflection, before, beside and after the library's.
protocol Shape { var area: Double { get } }
struct Square: Shape { var side = 2.0; var area: Double { side * side } }
final class Circle: Shape { let radius = 1.0; var area: Double { 3 * radius * radius } }

func hostWorks() {
  let shapes: [any Shape] = [Square(), Circle()]
  check(shapes.compactMap { $0 as? Circle }.count == 1, "casts")
  check(Dictionary(grouping: 1...100, by: { $0 % 7 })[3]?.reduce(0, +) == 679, "dictionaries")
  check(Mirror(reflecting: Square()).children.count == 1, "mirrors")
  check("\(shapes.map(\.area))" == "[4.0, 3.0]", "strings")
}

func libraryWorks() -> [Float] {
  var context: Handle?, config: Handle?, model: Handle?, session: Handle?
  let json = #"{"kind":"hope","vocab":32,"d_model":32,"n_layers":1,"head_dim":16,"segment":8}"#
  check(makeContext(nil, &context) == 0, "context")
  check(makeConfig(json, -1, &config) == 0, "config")
  check(makeModel(context, config, 1, &model) == 0, "model")
  check(makeSession(model, nil, &session) == 0, "session")
  let text = (0..<40).map { Int32($0 * 7 % 32) }
  var logits = [Float](repeating: 0, count: 32)
  var count = 0
  check(feed(session, text, text.count, nil, nil, nil) == 0, "feed")
  check(output(session, &logits, 32, &count) == 0 && count == 32, "output")
  check(feed(nil, text, 1, nil, nil, nil) == -3, "an error")
  for (kind, handle) in [("context", context), ("config", config), ("model", model), ("session", session)] {
    release(kind, handle)
  }
  return logits
}

/// What the library computes, every time.
let first = libraryWorks()

func both(_: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  for _ in 0..<10 {
    hostWorks()
    check(libraryWorks() == first, "the same bits")
  }
  return nil
}

@main enum SwiftHost {
  static func main() {
    hostWorks()
    check(first.contains { $0 != 0 }, "logits")
    _ = both(nil)
    var threads = [pthread_t](repeating: pthread_t(), count: 4)
    for i in threads.indices { pthread_create(&threads[i], nil, both, nil) }
    for thread in threads { pthread_join(thread, nil) }
    check(live(0) == 0, "handles are left")
    dlclose(library)
    hostWorks()
    print("ok")
  }
}
