// swift-tools-version: 6.2
import PackageDescription

let strict: [SwiftSetting] = [
  .swiftLanguageMode(.v6), .strictMemorySafety(), .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"), .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
]

let package = Package(
  name: "Nested",
  products: [.library(name: "Nested", targets: ["Nested"])],
  targets: [
    // The installed library and its header, as pkg-config finds them.
    .systemLibrary(name: "CNested", pkgConfig: "nested"),
    .target(name: "Nested", dependencies: ["CNested"], swiftSettings: strict),
  ]
)
