// swift-tools-version: 6.2
import PackageDescription

let package = Package(
  name: "conformance",
  dependencies: [.package(path: "Nested")],
  targets: [
    .executableTarget(
      name: "conformance-driver", dependencies: [.product(name: "Nested", package: "Nested")],
      swiftSettings: [.swiftLanguageMode(.v6), .treatAllWarnings(as: .error)])
  ]
)
