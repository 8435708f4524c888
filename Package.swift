// swift-tools-version: 6.2
import PackageDescription

#if arch(x86_64)
  let triple = "x86_64-linux-gnu"
  let levels = ["-march=x86-64-v3", "-march=x86-64-v4"]
#elseif arch(arm64)
  let triple = "aarch64-linux-gnu"
  let levels = ["", ""]
#endif

// The static archives that become part of the library; where Debian puts them unless the
// environment says otherwise.
let openblas =
  Context.environment["NESTED_OPENBLAS"] ?? "/usr/lib/\(triple)/openblas-pthread/libopenblas.a"
let jansson = Context.environment["NESTED_JANSSON"] ?? "/usr/lib/\(triple)/libjansson.a"

// Every Swift target: Swift 6 mode, strict memory safety, warnings are errors.
let strict: [SwiftSetting] = [
  .swiftLanguageMode(.v6), .strictMemorySafety(), .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"), .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
]

// The same for tests, but for strict memory safety: they poison, overrun and compare raw buffers in
// every line.
let relaxed: [SwiftSetting] = [
  .swiftLanguageMode(.v6), .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"), .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
]

// What goes into libnested besides: no Swift concurrency, no regular expressions, and no
// exclusivity checks at run time, which would end the host's process.
let library: [SwiftSetting] =
  strict + [
    .unsafeFlags([
      "-enforce-exclusivity=unchecked",
      "-Xfrontend", "-disable-implicit-concurrency-module-import",
      "-Xfrontend", "-disable-implicit-string-processing-module-import",
    ])
  ]

// One source, two CPU classes: NestedKernelsV4 is a symbolic link to NestedKernels. The march flag
// reaches code generation through the clang importer; the choice between the two is made once, in
// KernelSet. Kernels alone are compiled without overflow checks; sizes are checked before they are
// called. The compiler calls that unsafe, and says so, which is why this one group of warnings is
// not an error here.
func kernels(_ march: String) -> [SwiftSetting] {
  let class_ = march.isEmpty ? [] : ["-Xcc", march]
  return library + [
    .unsafeFlags(class_ + ["-Ounchecked"]), .treatWarning("StrictMemorySafety", as: .warning),
  ]
}

// C in the library: hidden, and held to the same standard.
let shims: [CSetting] = [
  .unsafeFlags([
    "-std=gnu11", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror", "-fno-math-errno",
  ])
]

func linker(_ options: [String]) -> [String] { options.flatMap { ["-Xlinker", $0] } }
func wrap(_ names: [String]) -> [String] { linker(names.map { "--wrap=\($0)" }) }

// The environment and the allocator as the library's own parts see them, in the library and in the
// tests alike: CNestedShims/README.md. Its C++ new and delete are those of libstdc++.
let wrapped: [LinkerSetting] = [
  .unsafeFlags(
    wrap([
      "getenv", "environ", "stdin", "malloc", "calloc", "realloc", "free", "posix_memalign",
      "aligned_alloc",
      "malloc_usable_size", "_Znwm", "_ZdlPv", "_ZdlPvm",
    ])), .linkedLibrary("stdc++"),
]
let blas: [LinkerSetting] = [.unsafeFlags([openblas])]
let json: [LinkerSetting] = [.unsafeFlags([jansson])]

// Settings of NestedABI reach only products that contain it, which is libnested.so alone: the test
// program links the same objects with the dynamic Swift runtime that Swift Testing needs.
let shared: [LinkerSetting] = [
  .unsafeFlags(
    ["-static-stdlib", "-use-ld=lld"]
      + linker([
        "--version-script=\(Context.packageDirectory)/Sources/NestedABI/exports.map",
        "--no-undefined-version", "-soname=libnested.so.1", "--build-id=sha1",
        "-z", "nodelete", "-z", "now", "-z", "defs", "--gc-sections", "--exclude-libs=ALL",
      ]))
]

// Programs that are clients of the finished library and know nothing of it but the header. They
// link it as any client does, so they are in the package only when `make` says in which folder it
// is; building the library needs no other package.
func clients(of library: String) -> [Target] {
  func linked(_ path: String) -> [LinkerSetting] {
    [.unsafeFlags(["-L\(library)", "-lnested"] + linker(["-rpath", path]))]
  }
  let (bench, cli) = ("Sources/nested-bench", "Sources/nested-cli")
  return [
    .target(name: "NestedBenchAllocations", path: "\(bench)/allocations"),
    .executableTarget(name: "nested-bench-load", path: "\(bench)/load"),
    .executableTarget(
      name: "nested-bench", dependencies: ["CNested", "NestedBenchAllocations"], path: bench,
      exclude: ["allocations", "load", "README.md", "RESULTS.md", "PEERS.md", "results.json", "peers.py", "large"],
      swiftSettings: relaxed, linkerSettings: linked(library)),
    .target(
      name: "Nested", dependencies: ["CNested"], path: "bindings/swift/Sources/Nested",
      swiftSettings: strict),
    .executableTarget(
      name: "nested-cli",
      dependencies: ["Nested", .product(name: "ArgumentParser", package: "swift-argument-parser")],
      path: cli, exclude: ["README.md", "manual.py", "nested-cli.1"], swiftSettings: relaxed,
      linkerSettings: linked("$ORIGIN/../lib")),
  ]
}

let linkFrom = Context.environment["NESTED_LINK_FROM"]

let package = Package(
  name: "libnested",
  products: [.library(name: "nested", type: .dynamic, targets: ["NestedABI"])],
  dependencies: linkFrom == nil
    ? [] : [.package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2")],
  targets: (linkFrom.map(clients) ?? []) + [
    .systemLibrary(name: "COpenBLAS"),
    .systemLibrary(name: "CJansson"),
    .systemLibrary(name: "CNested", path: "include"),
    .target(
      name: "CNestedShims", exclude: ["README.md"], cSettings: shims,
      linkerSettings: wrapped),
    .target(
      name: "NestedBase", dependencies: ["CNestedShims"], exclude: ["README.md"],
      swiftSettings: library),
    .target(
      name: "NestedKernels", dependencies: ["NestedBase", "COpenBLAS", "CNestedShims"],
      exclude: ["README.md"], swiftSettings: kernels(levels[0]), linkerSettings: blas),
    .target(
      name: "NestedKernelsV4", dependencies: ["NestedBase", "COpenBLAS", "CNestedShims"],
      exclude: ["README.md"], swiftSettings: kernels(levels[1]), linkerSettings: blas),
    .target(
      name: "NestedTensor",
      dependencies: ["NestedBase", "NestedKernels", "NestedKernelsV4", "CNestedShims"],
      exclude: ["README.md"], swiftSettings: library),
    .target(
      name: "NestedLearning", dependencies: ["NestedTensor"], exclude: ["README.md"],
      swiftSettings: library),
    .target(
      name: "NestedCheckpoint", dependencies: ["NestedBase", "CJansson", "CNestedShims"],
      exclude: ["README.md"], swiftSettings: library, linkerSettings: json),
    .target(
      name: "NestedModels", dependencies: ["NestedLearning", "NestedCheckpoint"],
      exclude: ["README.md", "levels.svg"], swiftSettings: library),
    // -enable-testing: the trainer's tests look at what only it should touch, with @testable
    // import, and the tests link the same objects as the library.
    .target(
      name: "NestedTraining", dependencies: ["NestedModels"], exclude: ["README.md", "session.svg"],
      swiftSettings: library + [.unsafeFlags(["-enable-testing"])]),
    .target(
      name: "NestedABI", dependencies: ["NestedTraining", "CNested", "CNestedShims"],
      exclude: ["README.md", "exports.map"], swiftSettings: library, linkerSettings: shared),

    // float64 references, independent of everything else.
    .target(name: "Oracle", path: "Tests/Oracle", swiftSettings: relaxed),
    .testTarget(
      name: "NestedTensorTests", dependencies: ["NestedTensor", "Oracle", "CNestedShims"],
      swiftSettings: relaxed),
    .testTarget(
      name: "NestedLearningTests", dependencies: ["NestedLearning", "Oracle"],
      swiftSettings: relaxed),
    .testTarget(
      name: "NestedCheckpointTests", dependencies: ["NestedCheckpoint"], swiftSettings: relaxed),
    .testTarget(
      name: "NestedModelsTests", dependencies: ["NestedModels", "Oracle"], swiftSettings: relaxed),
    .testTarget(
      name: "NestedTrainingTests", dependencies: ["NestedTraining", "Oracle"],
      swiftSettings: relaxed),
  ]
)
