"""The keys of configurations and of trainer options, for editors and type checkers.

At run time these are plain dicts, and the library checks them.  tests/test_types.py compares keys,
types and choices with the library's JSON schemas (`config_schema`, `trainer_schema`), which also
have ranges, defaults and help.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict

__all__ = ["CMSConfig", "HeadConfig", "LevelConfig", "MemoryConfig", "ModelConfig", "ParameterGroup", "RopeScaling", "Schedule",
           "SlowMemory", "TitansConfig", "TrainerOptions"]


class LevelConfig(TypedDict, total=False):
    """One level of the Continuum Memory System."""

    chunk: int
    """Period in tokens: the level learns online after every so many; 0 = never."""
    hidden: int
    """Width of the level's MLP; by default twice the model's."""
    lr: float
    """Learning rate of the online updates."""
    clip: float
    """Largest norm of the summed gradient of a period."""
    optimizer: Literal[
        "sgd", "momentum", "nesterov", "adagrad", "adam", "adamw", "muon", "dgd",
        "delta-momentum", "dmgd", "preconditioned-momentum", "m3", "m3-literal"]


class CMSConfig(TypedDict, total=False):
    """The Continuum Memory System (arXiv 2512.24695, equations 70 to 73)."""

    levels: Sequence[LevelConfig]
    """The fastest first."""
    mlp: Literal["swiglu", "gelu"]
    variant: Literal["sequential", "nested", "independent"]
    meta: Literal["none", "first-order", "exact"]


class HeadConfig(TypedDict, total=False):
    """The head of the tasks "classify" and "regress": a level of its own, last in the chain."""

    chunk: int
    """Period in inputs: the head learns after every so many; 0 = never."""
    lr: float
    """Learning rate of the online updates."""
    clip: float
    """Largest norm of the summed gradient of a period."""
    optimizer: Literal[
        "sgd", "momentum", "nesterov", "adagrad", "adam", "adamw", "muon", "dgd",
        "delta-momentum", "dmgd", "preconditioned-momentum", "m3", "m3-literal"]


class MemoryConfig(TypedDict, total=False):
    """Self-modifying Titans (arXiv 2512.24695, equations 83 to 96)."""

    type: Literal["linear", "mlp"]
    """A memory is a matrix, or an MLP with one hidden layer (equation 91)."""
    expansion: int
    """Hidden width of an MLP memory, in head widths."""
    memory_chunk: int
    """Chunk of the main memory, in tokens (equation 90)."""
    projection_chunk: int
    """Chunk of the other memories, in tokens."""
    eta_max: float
    """Largest inner learning rate."""
    inner_rule: Literal["dgd", "gd"]
    outer_rule: Literal["dgd", "decay"]
    inner_momentum: float
    objective: Literal["l2", "dot"]
    read: Literal["token", "chunk"]
    retention: bool
    normalize_value: bool
    adapt: Sequence[Literal["k", "v", "eta", "alpha", "mem", "q"]]
    """The memories that are written in context."""
    adaptive_q: bool
    input_projection: Literal["separate", "shared", "none"]
    truncate_bptt: int


class TitansConfig(TypedDict, total=False):
    """The mixer of kind titans (arXiv 2501.00663)."""

    mode: Literal["lmm", "mac", "mag", "mal"]
    """The memory alone, or with attention: as context, as gate, as layer."""
    memory: Literal["linear", "mlp"]
    expansion: int
    """Hidden width of an MLP memory, in head widths."""
    chunk: int
    """Tokens whose gradients are taken at one state of the memory."""
    theta_max: float
    """Largest learning rate of the memory."""
    segment: int
    """Segment of mode mac, in tokens."""
    persistent: int
    """Learnt tokens that attention always sees."""
    window: int
    """Attention window of modes mag and mal, in tokens."""


class RopeScaling(TypedDict, total=False):
    """Rotary positions for texts longer than those a model was first trained on."""

    type: Literal["none", "linear", "llama3"]
    factor: float
    """What frequencies are divided by."""
    low_freq_factor: float
    """Type "llama3": channels that turn less often over the first texts are divided by `factor`."""
    high_freq_factor: float
    """Type "llama3": channels that turn more often stay as they are."""
    original_max_position: int
    """Type "llama3": tokens of the texts that the model was first trained on."""


class ModelConfig(TypedDict, total=False):
    """An architecture; `nested.config_schema` has defaults and ranges."""

    preset: Literal[
        "paper", "hope-0.1m", "hope-1m", "hope-10m", "hope-50m", "hope-340m", "hope-760m", "hope-1.3b",
        "transformer-1m", "transformer-10m", "transformer-50m", "transformer-340m",
        "transformer-760m", "transformer-1.3b", "retnet-1m", "retnet-10m", "retnet-50m",
        "retnet-340m", "retnet-760m", "retnet-1.3b",
        "titans-1m", "titans-10m", "titans-50m", "titans-340m", "titans-760m", "titans-1.3b"]
    """Defaults that the other keys override."""
    kind: Literal[
        "hope", "hope-attention", "titans", "transformer", "retnet", "deltanet", "gated-deltanet",
        "ttt-linear", "ttt-mlp", "srwm", "cms"]
    task: Literal["lm", "classify", "regress"]
    vocab: int
    """Number of tokens; 256 for bytes."""
    d_model: int
    """Width D."""
    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    d_ff: int
    segment: int
    """Most tokens over which online learning differentiates."""
    memory: MemoryConfig
    titans: TitansConfig
    cms: CMSConfig
    norm_eps: float
    tie_embeddings: bool
    rope_theta: float
    rope_scaling: RopeScaling
    window: int
    inputs: int
    """Numbers of an input vector; kind cms."""
    outputs: int
    """Numbers of an answer; task regress."""
    classes: int
    """Labels to begin with; task classify.  More come with what is taught."""
    head: HeadConfig


class Schedule(TypedDict, total=False):
    """Factor on the learning rate over the optimizer steps."""

    type: Literal["constant", "warmup", "cosine", "wsd"]
    warmup: int
    """Steps."""
    total: int
    """Steps."""
    floor: float
    """Where the cosine ends, as a fraction."""
    decay: int
    """Of "wsd": the last steps before `total`, in which the rate falls."""


class SlowMemory(TypedDict, total=False):
    """The slow memory of the optimizer m3."""

    beta: float
    weight: float
    period: int
    """Optimizer steps."""


class ParameterGroup(TypedDict, total=False):
    """Overrides for parameters by name."""

    pattern: str
    """``*`` stands for any characters, ``?`` for one: ``"blocks.*.cms.*"``."""
    lr: float
    weight_decay: float
    betas: Sequence[float]
    eps: float
    momentum: float


class TrainerOptions(TypedDict, total=False):
    """Options of a `Trainer`; `nested.trainer_schema` has defaults and ranges."""

    optimizer: Literal[
        "sgd", "momentum", "nesterov", "adagrad", "adam", "adamw", "muon", "dgd",
        "delta-momentum", "dmgd", "preconditioned-momentum", "m3", "m3-literal"]
    lr: float
    betas: Sequence[float]
    eps: float
    weight_decay: float
    momentum: float
    slow: SlowMemory
    clip: float
    """Bound of the gradient's norm; 0 = none."""
    schedule: Schedule
    accumulate: int
    """Batches of one optimizer step."""
    seed: int
    """Of the windows of `Trainer.fit`."""
    groups: Sequence[ParameterGroup]
    """A later one wins."""
