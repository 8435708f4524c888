import Foundation

/// A value of a line.
protocol Written {
  var written: String { get }
}

extension Int: Written { var written: String { String(self) } }
extension Int32: Written { var written: String { String(self) } }
extension Bool: Written { var written: String { self ? "1" : "0" } }
extension String: Written { var written: String { isEmpty ? "-" : self } }
extension Double: Written {
  var written: String { isNaN ? "nan" : "0x" + hexadecimal(bitPattern) }
}

func hexadecimal(_ value: UInt64) -> String {
  let digits = String(value, radix: 16)
  return String(repeating: "0", count: 16 - digits.count) + digits
}

/// FNV-1a
func hash(_ bytes: some Sequence<UInt8>) -> String {
  var value: UInt64 = 0xcbf2_9ce4_8422_2325
  for byte in bytes { value = (value ^ UInt64(byte)) &* 0x100_0000_01b3 }
  return "#" + hexadecimal(value)
}

func write(_ line: String) {
  FileHandle.standardOutput.write(Data((line + "\n").utf8))
}

/// The lines of one step.
struct Lines {
  let id: String

  func line(_ field: String, _ values: any Written...) { line(field, values) }

  func line(_ field: String, _ values: [any Written]) {
    write(([id, field] + values.map(\.written)).joined(separator: " "))
  }

  func bytes(_ field: String, _ bytes: [UInt8]) { line(field, bytes.count, hash(bytes)) }

  func floats(_ field: String, _ values: [Float]) {
    var (sum, squares) = (0.0, 0.0)
    for value in values {
      sum += Double(value)
      squares += Double(value) * Double(value)
    }
    let bytes = values.lazy.flatMap { value in
      (0..<4).lazy.map { UInt8(truncatingIfNeeded: value.bitPattern >> UInt32(8 * $0)) }
    }
    line(field, values.count, hash(bytes), sum, squares)
  }
}
