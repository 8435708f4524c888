// float32 to the 16-bit formats and back, round to nearest even. In integer arithmetic, so that no helper of a newer
// compiler runtime is needed and the flush of subnormals does not reach them.

func bfloatBits(_ value: Float) -> UInt16 {
  let bits = value.bitPattern
  if value.isNaN { return UInt16(bits >> 16) | 0x40 }
  return UInt16(truncatingIfNeeded: (bits &+ 0x7FFF &+ (bits >> 16 & 1)) >> 16)
}

func halfBits(_ value: Float) -> UInt16 {
  let bits = value.bitPattern
  let sign = UInt16(bits >> 16 & 0x8000)
  let magnitude = bits & 0x7FFF_FFFF
  if magnitude > 0x7F80_0000 { return sign | 0x7E00 }
  // 65520 is the first that rounds to infinity.
  if magnitude >= 0x477F_F000 { return sign | 0x7C00 }
  if magnitude >= 0x3880_0000 {
    let rounded = magnitude &+ 0xFFF &+ (magnitude >> 13 & 1)
    return sign | UInt16((rounded &- 0x3800_0000) >> 13)
  }
  // Subnormal: count in units of 2^-24.
  let exponent = Int(magnitude >> 23)
  let shift = 126 - exponent
  guard shift <= 24 else { return sign }
  let mantissa = magnitude & 0x7F_FFFF | 0x80_0000
  let floor = mantissa >> UInt32(shift)
  let rest = mantissa & (1 << UInt32(shift) - 1)
  let half = UInt32(1) << UInt32(shift - 1)
  let up: UInt32 = rest > half || rest == half && floor & 1 == 1 ? 1 : 0
  return sign | UInt16(floor + up)
}

func float(halfBits bits: UInt16) -> Float {
  let sign = UInt32(bits & 0x8000) << 16
  let exponent = UInt32(bits >> 10 & 0x1F)
  let mantissa = UInt32(bits & 0x3FF)
  switch exponent {
  case 0x1F: return Float(bitPattern: sign | 0x7F80_0000 | mantissa << 13)
  case 0:
    guard mantissa != 0 else { return Float(bitPattern: sign) }
    let shift = UInt32(mantissa.leadingZeroBitCount) - 21
    let normal = mantissa << shift & 0x3FF
    return Float(bitPattern: sign | (113 - shift) << 23 | normal << 13)
  default: return Float(bitPattern: sign | (exponent + 112) << 23 | mantissa << 13)
  }
}
