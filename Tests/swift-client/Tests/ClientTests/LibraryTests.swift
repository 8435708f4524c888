import Foundation
import Nested
import Testing

@Suite struct LibraryTests {
  @Test func itDescribesItself() throws {
    func object(_ text: String) throws -> [String: Any] {
      try #require(JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    }
    let build = try object(Library.buildInformation)
    #expect(build["version"] as? String == Library.version && build["abi"] as? Int == Library.abi)
    let features = try #require(build["features"] as? [String])
    #expect(!features.isEmpty && features.allSatisfy(Library.hasFeature))
    #expect(!Library.hasFeature("no.such"))
    #expect(try object(Library.configurationSchema)["properties"] != nil)
  }

  @Test func contextsMeasureMemory() throws {
    let context = try Context(threads: 1)
    #expect(try context.memory.inUse == 0)
    let model = try Model(Configuration(description), in: context)
    let memory = try context.memory
    #expect(try memory.inUse >= model.info.weightBytes && memory.peak >= memory.inUse)
    #expect(memory.allocations > 0 && memory.limit == 0)
  }
}
