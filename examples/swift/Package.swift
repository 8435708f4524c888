// swift-tools-version: 6.2
import PackageDescription

let examples = [
  "01_train_generate", "02_session_keeps_learning", "03_save_fork_consolidate",
  "04_many_sessions", "05_cancel_progress_errors", "06_gradients", "07_continual_classification",
]

// A package of your own names the folder `bindings/swift` of libnested in the place of this link.
let package = Package(
  name: "examples",
  dependencies: [.package(path: "Nested")],
  targets: examples.map { name in
    .executableTarget(
      name: name, dependencies: [.product(name: "Nested", package: "Nested")], path: ".",
      sources: ["\(name).swift"],
      swiftSettings: [.swiftLanguageMode(.v6), .treatAllWarnings(as: .error)])
  }
)
