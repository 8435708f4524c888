/// The checksum of a file's tensor data: XXH64 with seed 0, as published with xxHash (see README).
/// It finds damage, not forgery.
package struct XXH64: Sendable {
  private static let prime1: UInt64 = 0x9E37_79B1_85EB_CA87
  private static let prime2: UInt64 = 0xC2B2_AE3D_27D4_EB4F
  private static let prime3: UInt64 = 0x1656_67B1_9E37_79F9
  private static let prime4: UInt64 = 0x85EB_CA77_C2B2_AE63
  private static let prime5: UInt64 = 0x27D4_EB2F_1656_67C5

  private var lanes = SIMD4<UInt64>(
    prime1 &+ prime2, prime2, 0, 0 &- prime1)
  private var pending: [UInt8] = []  // fewer than 32 bytes that no round has taken
  private var total: UInt64 = 0

  package init() { pending.reserveCapacity(32) }

  package mutating func update(_ bytes: RawSpan) {
    total &+= UInt64(bytes.byteCount)
    var position = 0
    if !pending.isEmpty {
      let taken = min(32 - pending.count, bytes.byteCount)
      for i in 0..<taken {
        pending.append(unsafe bytes.unsafeLoad(fromByteOffset: i, as: UInt8.self))
      }
      position = taken
      if pending.count < 32 { return }
      let block = pending
      unsafe absorb(block.span.bytes, at: 0)
      pending.removeAll(keepingCapacity: true)
    }
    while position + 32 <= bytes.byteCount {
      absorb(bytes, at: position)
      position += 32
    }
    while position < bytes.byteCount {
      pending.append(unsafe bytes.unsafeLoad(fromByteOffset: position, as: UInt8.self))
      position += 1
    }
  }

  /// The hash of everything so far.
  package var value: UInt64 {
    var hash: UInt64
    if total >= 32 {
      hash =
        rotate(lanes[0], 1) &+ rotate(lanes[1], 7) &+ rotate(lanes[2], 12) &+ rotate(lanes[3], 18)
      for i in 0..<4 {
        hash = (hash ^ round(0, lanes[i])) &* XXH64.prime1 &+ XXH64.prime4
      }
    } else {
      hash = XXH64.prime5
    }
    hash &+= total
    let rest = unsafe pending.span.bytes
    var position = 0
    while position + 8 <= rest.byteCount {
      hash = rotate(hash ^ round(0, word(rest, position)), 27) &* XXH64.prime1 &+ XXH64.prime4
      position += 8
    }
    if position + 4 <= rest.byteCount {
      let half = unsafe rest.unsafeLoadUnaligned(fromByteOffset: position, as: UInt32.self)
      hash ^= UInt64(UInt32(littleEndian: half)) &* XXH64.prime1
      hash = rotate(hash, 23) &* XXH64.prime2 &+ XXH64.prime3
      position += 4
    }
    while position < rest.byteCount {
      hash ^= UInt64(pending[position]) &* XXH64.prime5
      hash = rotate(hash, 11) &* XXH64.prime1
      position += 1
    }
    hash = (hash ^ hash >> 33) &* XXH64.prime2
    hash = (hash ^ hash >> 29) &* XXH64.prime3
    return hash ^ hash >> 32
  }

  /// As it stands in a file: `xxh64:` and sixteen hexadecimal digits.
  package var text: String {
    let digits = String(value, radix: 16)
    return "xxh64:" + String(repeating: "0", count: 16 - digits.utf8.count) + digits
  }

  private mutating func absorb(_ bytes: RawSpan, at position: Int) {
    for i in 0..<4 { lanes[i] = round(lanes[i], word(bytes, position + 8 * i)) }
  }

  private func word(_ bytes: RawSpan, _ position: Int) -> UInt64 {
    UInt64(
      littleEndian: unsafe bytes.unsafeLoadUnaligned(fromByteOffset: position, as: UInt64.self))
  }

  private func round(_ lane: UInt64, _ input: UInt64) -> UInt64 {
    rotate(lane &+ input &* XXH64.prime2, 31) &* XXH64.prime1
  }

  private func rotate(_ value: UInt64, _ count: UInt64) -> UInt64 {
    value << count | value >> (64 - count)
  }
}
