import NestedLearning

extension TrainerOptions {
  private static func names<Choice: CaseIterable & RawRepresentable>(_: Choice.Type) -> String
  where Choice.RawValue == String {
    Choice.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", ")
  }

  /// JSON schema of the options, for `nested_trainer_schema`.
  package static let schema = """
    {
      "$schema": "https://json-schema.org/draft/2020-12/schema",
      "title": "libnested trainer options",
      "type": "object",
      "additionalProperties": false,
      "properties": {
        "optimizer": {
          "enum": [\(names(OptimizerSettings.Name.self))], "default": "adamw",
          "description": "Update rule; weight decay is decoupled for all of them." },
        "lr": {
          "type": "number", "minimum": 0, "default": 0.003, "description": "Base learning rate." },
        "betas": {
          "type": "array", "minItems": 2, "maxItems": 2, "default": [0.9, 0.95],
          "items": { "type": "number", "minimum": 0, "exclusiveMaximum": 1 },
          "description": "Decay of the two moments of Adam and its kin." },
        "eps": {
          "type": "number", "exclusiveMinimum": 0, "default": 1e-8,
          "description": "Added to the root of the second moment." },
        "weight_decay": {
          "type": "number", "minimum": 0, "default": 0.1,
          "description": "For parameters of two or more dimensions but embed, conv and memories." },
        "momentum": {
          "type": "number", "minimum": 0, "exclusiveMaximum": 1, "default": 0.9,
          "description": "Decay of the buffer of momentum and its kin." },
        "slow": {
          "type": "object", "additionalProperties": false,
          "description": "The slow memory of m3: decay, weight, and optimizer steps of its period.",
          "properties": {
            "beta": { "type": "number", "minimum": 0, "exclusiveMaximum": 1, "default": 0.9 },
            "weight": { "type": "number", "minimum": 0, "default": 1.0 },
            "period": { "type": "integer", "minimum": 1, "default": 100 } } },
        "clip": {
          "type": "number", "minimum": 0, "default": 1.0,
          "description": "Bound of the gradient's norm over the parameters that step; 0 = none." },
        "schedule": {
          "type": "object", "additionalProperties": false,
          "description": "Factor on the learning rate over the optimizer steps.",
          "properties": {
            "type": { "enum": [\(names(Schedule.Kind.self))], "default": "cosine" },
            "warmup": { "type": "integer", "minimum": 0, "default": 100 },
            "total": { "type": "integer", "minimum": 1, "default": 1000 },
            "floor": { "type": "number", "minimum": 0, "maximum": 1, "default": 0.1 },
            "decay": {
              "type": "integer", "minimum": 0, "default": 200,
              "description": "wsd: the last steps before total, in which the rate falls." } } },
        "accumulate": {
          "type": "integer", "minimum": 1, "default": 1,
          "description": "Batches that step() and fit() collect for one optimizer step." },
        "seed": {
          "type": "integer", "minimum": 0, "default": 0,
          "description": "Keys the windows of fit()." },
        "groups": {
          "type": "array", "default": [],
          "description": "Overrides for parameters by name; a later group wins.",
          "items": {
            "type": "object", "additionalProperties": false, "required": ["pattern"],
            "properties": {
              "pattern": {
                "type": "string", "minLength": 1,
                "description": "* stands for any characters, ? for one: blocks.*.cms.*" },
              "lr": { "type": "number", "minimum": 0 },
              "weight_decay": { "type": "number", "minimum": 0 },
              "betas": {
                "type": "array", "minItems": 2, "maxItems": 2,
                "items": { "type": "number", "minimum": 0, "exclusiveMaximum": 1 } },
              "eps": { "type": "number", "exclusiveMinimum": 0 },
              "momentum": { "type": "number", "minimum": 0, "exclusiveMaximum": 1 } } } } }
    }
    """
}
