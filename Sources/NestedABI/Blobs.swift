internal import NestedBase

// Section 3 of the header: bytes owned by the library.

@_cdecl("nested_blob_data")
public func nested_blob_data(_ blob: OpaquePointer?) -> UnsafeRawPointer? {
  unsafe handles.object(blob, .blob, as: BlobObject.self).map { unsafe UnsafeRawPointer($0.bytes) }
}

@_cdecl("nested_blob_size")
public func nested_blob_size(_ blob: OpaquePointer?) -> Int {
  unsafe handles.object(blob, .blob, as: BlobObject.self)?.count ?? 0
}

@_cdecl("nested_blob_release")
public func nested_blob_release(_ blob: OpaquePointer?) { unsafe handles.release(blob, .blob) }
