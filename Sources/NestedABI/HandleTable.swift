internal import CNestedShims
internal import NestedBase

/// The kinds of NESTED_HANDLE_*; raw values are the top byte of a ticket.
enum HandleKind: UInt64, CaseIterable {
  case context = 1, config, model, trainer, session, snapshot, cancel, blob
}

/// Where every handle that C holds is looked up (rules R2 and R3 of nested.h).
///
/// A ticket is `kind (8 bits) | generation (24) | slot (32)` and travels as a pointer that nobody follows. A
/// slot is four words:
///
///     state    kind (8) | generation (24) | handles (16) | pins (16)
///     payload  generation << 1 | raised        what a cancel token is: its whole state is here
///     object   the one strong reference, unmanaged
///     next     the next free slot
///
/// A lookup compares the top half of the ticket with the top half of the state and adds a pin by
/// compare-and-exchange: no lock, so a signal handler may do it. Who brings handles and pins to zero owns the
/// slot, advances its generation and drops the object, with nothing held: dropping may take long.
/// Chunks of slots are never freed. A slot whose generations are used up is not used again.
@safe final class HandleTable: @unchecked Sendable {
  static let chunkSlots = 1024
  static let maximumChunks = 4096
  static let wordsPerSlot = 4

  private let chunks: UnsafeMutablePointer<UInt64>  // [maximumChunks] addresses, 0 = not there yet
  private let cursors: UnsafeMutablePointer<UInt64>  // next fresh slot; free list:
  // tag (32 bits, against ABA) | slot + 1 (32 bits, 0 = empty)
  private let live: UnsafeMutablePointer<UInt64>  // [9] by kind

  init() {
    unsafe chunks = .allocate(capacity: Self.maximumChunks)
    unsafe cursors = .allocate(capacity: 2)
    unsafe live = .allocate(capacity: 9)
    unsafe chunks.initialize(repeating: 0, count: Self.maximumChunks)
    unsafe cursors.initialize(repeating: 0, count: 2)
    unsafe live.initialize(repeating: 0, count: 9)
  }

  /// One slot while somebody may look at it.
  @safe struct Slot {
    let words: UnsafeMutablePointer<UInt64>

    var state: UInt64 { unsafe nested_word_load(words) }
    func exchangeState(_ old: UInt64, _ new: UInt64) -> Bool {
      unsafe nested_word_exchange(words, old, new) != 0
    }
    var payload: UInt64 { unsafe nested_word_load(words + 1) }
    func exchangePayload(_ old: UInt64, _ new: UInt64) -> Bool {
      unsafe nested_word_exchange(words + 1, old, new) != 0
    }
    func setPayload(_ value: UInt64) {
      unsafe nested_word_store(words + 1, value)
    }
    /// Address of the object, 0 for none.
    var object: UInt64 {
      get { unsafe nested_word_load(words + 2) }
      nonmutating set { unsafe nested_word_store(words + 2, newValue) }
    }
    var next: UInt64 {
      get { unsafe nested_word_load(words + 3) }
      nonmutating set { unsafe nested_word_store(words + 3, newValue) }
    }
  }

  // MARK: Giving out

  /// Takes one strong reference to `object` (nil for cancel tokens) and gives a ticket with one handle.
  func insert(_ kind: HandleKind, _ object: AnyObject?) throws(NestedError) -> OpaquePointer {
    guard let index = popFree() ?? freshSlot(), let slot = self.slot(at: index) else {
      throw NestedError(.limit, "The process holds as many handles as the library can give out.")
    }
    let generation = max((slot.state >> 32) & 0xFF_FFFF, 1)
    slot.setPayload(generation << 1)
    slot.object =
      if let object {
        unsafe UInt64(UInt(bitPattern: Unmanaged.passRetained(object).toOpaque()))
      } else { 0 }
    let top = kind.rawValue << 24 | generation
    // Nobody else can hold this slot: the exchange is the publication.
    _ = slot.exchangeState(slot.state, top << 32 | 1 << 16)
    unsafe _ = nested_word_add(live + Int(kind.rawValue), 1)
    guard let ticket = unsafe OpaquePointer(bitPattern: UInt(top << 32 | UInt64(index))) else {
      throw NestedError(.internalError, "A ticket came out as zero.")
    }
    return unsafe ticket
  }

  // MARK: Looking up

  /// The slot with a pin on it, or nil for anything that is not a live ticket of this kind.
  func pin(_ handle: OpaquePointer?, _ kind: HandleKind) -> Slot? {
    guard let (slot, top) = unsafe find(handle, kind) else { return nil }
    while true {
      let state = slot.state
      guard state >> 32 == top, state >> 16 & 0xFFFF > 0, state & 0xFFFF < 0xFFFF else {
        return nil
      }
      if slot.exchangeState(state, state + 1) { return slot }
    }
  }

  func unpin(_ slot: Slot, _ handle: OpaquePointer?) { unsafe drop(slot, 1, handle) }

  /// A strong reference to the object behind a ticket.
  func object<T: AnyObject>(_ handle: OpaquePointer?, _ kind: HandleKind, as: T.Type) -> T? {
    guard let slot = unsafe pin(handle, kind) else { return nil }
    defer { unsafe unpin(slot, handle) }
    guard let address = unsafe UnsafeRawPointer(bitPattern: UInt(slot.object)) else { return nil }
    return unsafe Unmanaged<T>.fromOpaque(address).takeUnretainedValue()
  }

  /// One more handle on the same object; false when the ticket is not live or has too many.
  func retain(_ handle: OpaquePointer?, _ kind: HandleKind) throws(NestedError) -> Bool {
    guard let (slot, top) = unsafe find(handle, kind) else { return false }
    while true {
      let state = slot.state
      guard state >> 32 == top, state >> 16 & 0xFFFF > 0 else { return false }
      guard state >> 16 & 0xFFFF < 0xFFFF else {
        throw NestedError(.limit, "This handle has been retained 65535 times.")
      }
      if slot.exchangeState(state, state + 1 << 16) { return true }
    }
  }

  /// Drops one handle; does nothing for a ticket that is not live.
  func release(_ handle: OpaquePointer?, _ kind: HandleKind) {
    guard let (slot, top) = unsafe find(handle, kind) else { return }
    while true {
      let state = slot.state
      guard state >> 32 == top, state >> 16 & 0xFFFF > 0 else { return }
      // Pin first: the drop below may then end the slot in one place only.
      guard state & 0xFFFF < 0xFFFF else { return }
      if slot.exchangeState(state, state - 1 << 16 + 1) {
        if state >> 16 & 0xFFFF == 1 { unsafe _ = nested_word_add(live + Int(kind.rawValue), .max) }
        return unsafe drop(slot, 1, handle)
      }
    }
  }

  func liveCount(_ kind: Int) -> Int64 {
    if kind == 0 {
      return HandleKind.allCases.reduce(0) { $0 + liveCount(Int($1.rawValue)) }
    }
    guard kind > 0, kind < 9 else { return 0 }
    return unsafe Int64(bitPattern: nested_word_load(live + kind))
  }

  // MARK: Slots

  private func find(_ handle: OpaquePointer?, _ kind: HandleKind) -> (Slot, UInt64)? {
    let ticket = UInt64(UInt(bitPattern: handle))
    guard ticket >> 56 == kind.rawValue, let slot = slot(at: Int(ticket & 0xFFFF_FFFF)) else {
      return nil
    }
    return (slot, ticket >> 32)
  }

  private func slot(at index: Int) -> Slot? {
    let chunk = index / Self.chunkSlots
    guard chunk < Self.maximumChunks else { return nil }
    let address = unsafe nested_word_load(chunks + chunk)
    guard let base = unsafe UnsafeMutableRawPointer(bitPattern: UInt(address)) else { return nil }
    return unsafe Slot(
      words: base.assumingMemoryBound(to: UInt64.self)
        + (index % Self.chunkSlots) * Self.wordsPerSlot)
  }

  private func drop(_ slot: Slot, _ pins: UInt64, _ handle: OpaquePointer?) {
    while true {
      let state = slot.state
      guard (state - pins) & 0xFFFF_FFFF == 0 else {
        if slot.exchangeState(state, state - pins) { return }
        continue
      }
      let generation = state >> 32 & 0xFF_FFFF
      let following = (generation + 1) & 0xFF_FFFF
      guard slot.exchangeState(state, following << 32) else { continue }
      let address = unsafe UnsafeRawPointer(bitPattern: UInt(slot.object))
      slot.object = 0
      if following != 0 { pushFree(Int(UInt64(UInt(bitPattern: handle)) & 0xFFFF_FFFF)) }
      if let address = unsafe address { unsafe Unmanaged<AnyObject>.fromOpaque(address).release() }
      return
    }
  }

  private func popFree() -> Int? {
    while true {
      let top = unsafe nested_word_load(cursors + 1)
      let index = Int(top & 0xFFFF_FFFF) - 1
      guard index >= 0, let slot = slot(at: index) else { return nil }
      let following = (top >> 32 &+ 1) << 32 | slot.next
      if exchangeTop(top, following) { return index }
    }
  }

  private func pushFree(_ index: Int) {
    guard let slot = slot(at: index) else { return }
    while true {
      let top = unsafe nested_word_load(cursors + 1)
      slot.next = top & 0xFFFF_FFFF
      if exchangeTop(top, (top >> 32 &+ 1) << 32 | UInt64(index + 1)) { return }
    }
  }

  private func exchangeTop(_ old: UInt64, _ new: UInt64) -> Bool {
    unsafe nested_word_exchange(cursors + 1, old, new) != 0
  }

  private func freshSlot() -> Int? {
    let index = unsafe Int(nested_word_add(cursors, 1))
    let chunk = index / Self.chunkSlots
    guard chunk < Self.maximumChunks else {
      unsafe _ = nested_word_add(cursors, .max)
      return nil
    }
    if unsafe nested_word_load(chunks + chunk) == 0 {
      let words = Self.chunkSlots * Self.wordsPerSlot
      let base = UnsafeMutablePointer<UInt64>.allocate(capacity: words)
      unsafe base.initialize(repeating: 0, count: words)
      if unsafe nested_word_exchange(chunks + chunk, 0, UInt64(UInt(bitPattern: base))) == 0 {
        unsafe base.deallocate()
      }
    }
    return index
  }
}

/// The one table of the process: tickets say nothing about where they came from.
let handles = HandleTable()
