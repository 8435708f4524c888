/// How the next token is chosen; the default takes the most likely one.
public struct Sampling: Hashable, Sendable {
  /// 0 = the most likely token; 1 = as the model says; more = more even.
  public var temperature: Double
  /// Choose among the likeliest so many; 0 = all.
  public var topK: Int
  /// Choose among the likeliest of so much probability together, in (0, 1]; 0 = all.
  public var topP: Double
  /// Drop what is less likely than this fraction of the likeliest, in (0, 1]; 0 = nothing.
  public var minP: Double
  /// Makes recent tokens less likely; 0 or 1 = no.
  public var repetitionPenalty: Double
  /// Tokens that the penalty looks back on; 0 = 64.
  public var repetitionWindow: Int
  /// Tokens that end the passage; the one met is its last.
  public var stop: [Int32]
  /// Added to the logits, [V]; `nil` = nothing.
  public var logitBias: [Float]?

  /// Everything off.
  public init(
    temperature: Double = 0, topK: Int = 0, topP: Double = 0, minP: Double = 0,
    repetitionPenalty: Double = 0, repetitionWindow: Int = 0, stop: [Int32] = [],
    logitBias: [Float]? = nil
  ) {
    self.temperature = temperature
    self.topK = topK
    self.topP = topP
    self.minP = minP
    self.repetitionPenalty = repetitionPenalty
    self.repetitionWindow = repetitionWindow
    self.stop = stop
    self.logitBias = logitBias
  }
}
