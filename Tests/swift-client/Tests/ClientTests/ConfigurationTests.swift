import Foundation
import Nested
import Testing

@Suite struct ConfigurationTests {
  @Test func itIsAValue() throws {
    let small = try Configuration(description)
    let wide = try small.replacing(["/d_model": 64, "/head_dim": 32, "/n_heads": 2])
    #expect(try wide.integer(at: "/d_model") == 64 && small.integer(at: "/d_model") == 32)
    #expect(small != wide && small.json != wide.json)
    #expect(try small == Configuration(json: small.json))
    #expect(Set([small, wide, try Configuration(json: small.json)]).count == 2)
    #expect(try Configuration().integer(at: "/vocab") == 256)
    #expect(try Configuration(["preset": "hope-0.1m"]) != Configuration())
  }

  @Test func pointersRead() throws {
    let configuration = try Configuration(description)
    #expect(try configuration.number(at: "/cms/levels/0/lr") == 0.05)
    #expect(try configuration.number(at: "/d_model") == 32)
    #expect(try configuration.json(at: "/kind") == #""hope""#)
    #expect(try failure { try configuration.integer(at: "/no") }.status == .notFound)
    #expect(try failure { try configuration.integer(at: "/kind") }.status == .configuration)
  }

  @Test func valuesOfEveryTypeReplace() throws {
    let changed = try Configuration(description).replacing([
      "/cms/levels/1/chunk": 64, "/cms/levels/0/lr": 0.5, "/memory/read": "chunk",
      "/memory/retention": false, "/memory/adapt": ["k", "mem"],
    ])
    #expect(try changed.integer(at: "/cms/levels/1/chunk") == 64)
    #expect(try changed.json(at: "/memory/retention") == "false")
    let adapt = try changed.json(at: "/memory/adapt").filter { !$0.isWhitespace }
    #expect(adapt == #"["k","mem"]"#)
    let error = try failure { try changed.replacing(["/d_model": 33]) }
    #expect(error.status == .configuration)
    #expect(try failure { try changed.replacing(["/d_model": -1]) }.place == "/d_model")
  }

  @Test func jsonIsJSON() throws {
    let value: JSON = [
      "text": "quote \" slash \\ newline \n tab \t bell \u{7} é 𝄞", "none": nil, "yes": true,
      "list": [1, -2.5, 1e-300, []], "object": [:], "\u{1}": 0,
    ]
    let read = try #require(
      JSONSerialization.jsonObject(with: Data(value.description.utf8)) as? [String: Any])
    #expect(read["text"] as? String == "quote \" slash \\ newline \n tab \t bell \u{7} é 𝄞")
    #expect(read["none"] is NSNull && read["yes"] as? Bool == true && read["\u{1}"] as? Int == 0)
    #expect((read["list"] as? [Any])?[2] as? Double == 1e-300)
  }
}
