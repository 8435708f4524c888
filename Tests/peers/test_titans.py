"""Titans' neural memory (T1 eqs 9 to 18) against titans-pytorch's, on what both can express.

titans-pytorch takes any module as memory and differentiates it itself; here its own matrix, and T1's residual MLP as the
library has it. One token per chunk of its gates (`chunk_size` 1), gradients taken at one state for `batch_size` tokens,
which is the library's `chunk`. Its loss is a mean over a head's width d where the library has a half: θ_max = 2 / d · its
largest rate. Its q and k are RMSNorm with a weight, which at 1 / √d is the l2 norm.
"""

import comparison
import pytest
import torch
import torch.nn.functional as F
from block import call, case
from titans_pytorch import NeuralMemory
from titans_pytorch.memory_models import MemoryMLP

D_MODEL, HEADS, EXPANSION = 16, 2, 2
WIDTH = D_MODEL // HEADS


class ResidualMLP(torch.nn.Module):
    """x + LN(W1 gelu(W2 x)), weights stored the other way round, LN with eps 1."""

    def __init__(self):
        super().__init__()
        hidden = EXPANSION * WIDTH
        self.w2 = torch.nn.Parameter(torch.zeros(WIDTH, hidden))
        self.w1 = torch.nn.Parameter(torch.zeros(hidden, WIDTH))

    def forward(self, x):
        return x + F.layer_norm(F.gelu(x @ self.w2, approximate="tanh") @ self.w1, (WIDTH,), eps=1.0)


class Gate(torch.nn.Module):
    """silu(n W) in the place of the peer's gate, one number per channel instead of one per head."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(D_MODEL, D_MODEL))

    def forward(self, n):
        return F.silu(n @ self.weight.mT).unflatten(-1, (HEADS, WIDTH)).transpose(1, 2)


def peer(memory, chunk, rate):
    layer = NeuralMemory(
        dim=D_MODEL, heads=HEADS, dim_head=WIDTH, chunk_size=1, batch_size=chunk,
        model=MemoryMLP(WIDTH, depth=1) if memory == "linear" else ResidualMLP(),
        default_step_transform_max_lr=rate, pre_rmsnorm=False, qk_rmsnorm=True, post_rmsnorm=True,
        activation=torch.nn.SiLU(), mem_model_norm_add_residual=False)
    layer.retrieve_gate = Gate()
    return layer


def parameters(layer, p):
    """The peer's parameters, made of the library's."""
    def heads(x):
        return x.unflatten(0, (HEADS, 1, WIDTH))
    unit = torch.full((HEADS, 1, WIDTH), WIDTH ** -0.5 - 1, dtype=torch.float64)
    result = {
        "to_queries.0.weight": p["q"], "to_keys.0.weight": p["k"], "to_values.0.weight": p["v"],
        "q_norm.gamma": unit, "k_norm.gamma": unit, "multihead_rmsnorm.gamma": heads(p["head_norm"]) - 1,
        "retrieve_gate.weight": p["gate"], "combine_heads.weight": p["out"]}
    for theirs, ours in (("to_decay_factor", "alpha"), ("to_momentum", "eta"), ("to_adaptive_step", "theta")):
        result |= {f"{theirs}.0.weight": p[ours], f"{theirs}.0.bias": p[f"{ours}_bias"]}
    for i, name in enumerate(layer.memory_model_parameter_names):
        ours = {"weights.0": "w"}.get(name, name)
        result[f"memory_model_parameters.{i}"] = p[f"memory.mem.{ours}"].mT
    # the module that the memory's shapes come from: its own weights are never read
    result |= {f"memory_model.{name}": value for name, value in layer.memory_model.named_parameters()}
    return result


def titans_case(memory, chunk, length=15, rate=4.0):
    config = comparison.config("titans", D_MODEL, HEADS, titans={
        "mode": "lmm", "memory": memory, "chunk": chunk, "expansion": EXPANSION,
        "theta_max": 2 / WIDTH * rate})
    # Long q and k: the library's l2 norm has 1e-6 under its root, the peer's has not.
    weights = comparison.weights(config, q=8, k=8, v=3)
    layer = peer(memory, chunk, rate)
    return case(config, weights, comparison.tokens(2, length),
                lambda p, n: call(layer, parameters(layer, p), n)[0])


CASES = {f"titans-pytorch-{memory}-{chunk}": (lambda memory=memory, chunk=chunk: titans_case(memory, chunk))
         for memory in ("linear", "mlp") for chunk in (1, 4)}
FIXED = ["titans-pytorch-linear-1", "titans-pytorch-mlp-4"]


@pytest.mark.parametrize("name", CASES)
def test_the_memory_agrees(name):
    comparison.check(CASES[name]())


@pytest.mark.parametrize("memory, chunk, rate", [("linear", 1, 4.0), ("linear", 16, 2.0), ("mlp", 1, 0.4), ("mlp", 16, 0.4)])
def test_a_long_text_agrees(memory, chunk, rate):
    """With the library's own largest rate for an mlp, θ = 0.1: at ten times that its gradient grows without end, and with it
    the rounding of float32."""
    comparison.check(titans_case(memory, chunk, 100, rate))


def test_another_chunk_would_be_seen():
    case = CASES["titans-pytorch-mlp-4"]()
    case.config = {**case.config, "titans": {**case.config["titans"], "chunk": 5}}
    assert comparison.error(case.model().forward(case.tokens), case.logits) > 100 * comparison.VALUES
