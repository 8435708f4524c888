internal import CNested
internal import CNestedShims
internal import NestedBase
internal import NestedLearning
internal import NestedModels
internal import NestedTensor

// Section 2 of the header: library, build and ABI information.

private let versionText: StaticString = "1.0.0"

@_cdecl("nested_version")
public func nested_version() -> UInt32 { 1_000_000 }

@_cdecl("nested_abi")
public func nested_abi() -> UInt32 { UInt32(NESTED_ABI) }

@_cdecl("nested_version_string")
public func nested_version_string() -> UnsafePointer<CChar>? { unsafe versionText.cString }

/// What nested_has_feature() answers 1 for.
private let features: [String] =
  ModelKind.allCases.filter(\.isBuilt).map { "kind." + $0.rawValue }
  + CMSVariant.allCases.map { "cms." + $0.rawValue }
  + OptimizerSettings.Name.allCases.map { "optim." + $0.rawValue }
  + Schedule.Kind.allCases.map { "schedule." + $0.rawValue } + [
    "task.lm", "memory.linear", "memory.mlp", "load.mmap", "dtype.f32", "dtype.f64", "dtype.f16", "dtype.bf16",
  ]

@_cdecl("nested_build_info")
public func nested_build_info() -> UnsafePointer<CChar>? { unsafe buildInfo.pointer }

private let buildInfo = StaticText(
  """
  {"version":"\(versionText)","abi":\(NESTED_ABI),"compiler":"Swift \(compilerVersion)",\
  "simd":"\(KernelSet.current?.cpuClass ?? "none")","blas":"OpenBLAS, private copy, one thread",\
  "json":"Jansson, private copy","features":[\(features.map { "\"\($0)\"" }.joined(separator: ","))],\
  "licences":["libnested: Apache-2.0","Swift runtime: Apache-2.0 WITH Swift-exception",\
  "OpenBLAS: BSD-3-Clause","Jansson: MIT"]}
  """)

private var compilerVersion: StaticString {
  #if compiler(>=6.4)
    "6.4 or later"
  #elseif compiler(>=6.3)
    "6.3"
  #else
    "before 6.3"
  #endif
}

@_cdecl("nested_abi_info")
public func nested_abi_info() -> UnsafePointer<CChar>? { unsafe abiInfoText.cString }

@_cdecl("nested_has_feature")
public func nested_has_feature(_ name: UnsafePointer<CChar>?) -> Int32 {
  guard let name = unsafe name, isAddress(UInt(bitPattern: name)),
    let length = unsafe boundedLength(name, limit: 64)
  else { return 0 }
  let bytes = unsafe UnsafeRawBufferPointer(start: name, count: length)
  return features.contains { unsafe $0.utf8.elementsEqual(bytes) } ? 1 : 0
}

@_cdecl("nested_live_handles")
public func nested_live_handles(_ handle_kind: Int32) -> Int64 {
  handles.liveCount(Int(handle_kind))
}
