public import CNested
internal import NestedBase
internal import NestedModels
internal import NestedTraining

// Section 11 of the header: looking inside the Continuum Memory System.

/// A caller's layer and level, nil for -1 (all) where that is allowed.
private func place(
  _ object: SessionObject, _ layer: Int32, _ level: Int32, mayBeAll: Bool
) throws(NestedError) -> (layer: Int?, level: Int?) {
  func check(_ value: Int32, _ count: Int, _ name: StaticString) throws(NestedError) -> Int? {
    if value == -1 && mayBeAll { return nil }
    guard value >= 0, Int(value) < count else {
      throw NestedError(.range, "\(name) is \(value); the model has \(count).", place: "\(name)")
    }
    return Int(value)
  }
  let c = object.model.model.configuration
  let layers = c.blockCount + (c.hasLabels ? 1 : 0)
  let isHead = c.hasLabels && Int(layer) == c.blockCount
  // For every layer at once, the blocks' levels; the head has one.
  let levels = isHead ? 1 : layer == -1 && c.hasLabels ? max(1, c.levels.count) : c.levels.count
  return (try check(layer, layers, "layer"), try check(level, levels, "level"))
}

@_cdecl("nested_session_level")
public func nested_session_level(
  _ session: OpaquePointer?, _ layer: Int32, _ level: Int32,
  _ out: UnsafeMutablePointer<nested_level>?
) -> nested_status {
  call("nested_session_level") { call throws(NestedError) in
    let out = unsafe try Output(out, "out")
    let object = unsafe try call.session(session)
    let place = try place(object, layer, level, mayBeAll: false)
    let info = try object.using { () throws(NestedError) in
      try object.session.levelInfo(layer: place.layer ?? 0, level: place.level ?? 0)
    }
    var result = nested_level()
    result.layer = layer
    result.level = level
    result.frozen = info.frozen ? 1 : 0
    result.chunk = Int64(info.chunk)
    result.last_update = Int64(info.lastUpdate)
    result.next_update = Int64(info.nextUpdate)
    result.n_updates = UInt64(max(info.updates, 0))
    result.n_skipped = UInt64(max(info.skipped, 0))
    result.n_params = UInt64(max(info.parameters, 0))
    result.lr = info.learningRate
    result.weight_norm = info.weightNorm
    result.delta_norm = info.deltaNorm
    result.last_grad_norm = info.lastGradientNorm
    result.last_update_norm = info.lastUpdateNorm
    result.pending_norm = info.pendingNorm
    out.write(result)
  }
}

@_cdecl("nested_session_level_control")
public func nested_session_level_control(
  _ session: OpaquePointer?, _ layer: Int32, _ level: Int32,
  _ control: UnsafePointer<nested_level_control>?
) -> nested_status {
  call("nested_session_level_control") { call throws(NestedError) in
    let object = unsafe try call.session(session)
    let place = try place(object, layer, level, mayBeAll: true)
    guard let control = unsafe try input(control, nested_level_control(), "control") else {
      throw nullArgument("control")
    }
    guard (-1...1).contains(control.frozen) else {
      throw NestedError(
        .range, "control.frozen is \(control.frozen), not -1, 0 or 1.", place: "control.frozen")
    }
    try finite(control.lr_scale, "control.lr_scale")
    guard control.lr_scale >= 0 else {
      throw NestedError(.range, "control.lr_scale is negative.", place: "control.lr_scale")
    }
    try object.using { () throws(NestedError) in
      try object.session.control(
        layer: place.layer, level: place.level,
        frozen: control.frozen == 0 ? nil : control.frozen > 0,
        learningRateScale: control.lr_scale == 0 ? nil : control.lr_scale)
    }
  }
}

@_cdecl("nested_session_level_flush")
public func nested_session_level_flush(
  _ session: OpaquePointer?, _ layer: Int32, _ level: Int32
) -> nested_status {
  call("nested_session_level_flush") { call throws(NestedError) in
    let object = unsafe try call.session(session)
    let place = try place(object, layer, level, mayBeAll: true)
    try object.using { () throws(NestedError) in
      try object.session.flush(layer: place.layer, level: place.level)
    }
  }
}

@_cdecl("nested_session_level_reset")
public func nested_session_level_reset(
  _ session: OpaquePointer?, _ layer: Int32, _ level: Int32
) -> nested_status {
  call("nested_session_level_reset") { call throws(NestedError) in
    let object = unsafe try call.session(session)
    let place = try place(object, layer, level, mayBeAll: true)
    try object.using { () throws(NestedError) in
      try object.session.resetLevels(layer: place.layer, level: place.level)
    }
  }
}
