// swift-tools-version: 6.2
import PackageDescription

let settings: [SwiftSetting] = [.swiftLanguageMode(.v6), .treatAllWarnings(as: .error)]

// A program like any user's: it knows the library by the package in `bindings/swift` alone.
let package = Package(
  name: "swift-client",
  dependencies: [.package(name: "Nested", path: "../../bindings/swift")],
  targets: [
    .testTarget(
      name: "ClientTests", dependencies: [.product(name: "Nested", package: "Nested")],
      swiftSettings: settings)
  ]
)
