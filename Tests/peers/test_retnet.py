"""Retention (paper eqs 5 to 8) of two other implementations.

Rotation: both take the frequencies 10000^(-i/(n-1)), i < n = d/2, where the library has rope_theta^(-i/n), and turn
neighbours, where the library turns halves. The first is rope_theta = 10000^(n/(n-1)), the second an order of the rows of q and k.
"""

import sys
import types

import pytest
import torch

import comparison
from block import call, case, norm
from comparison import EPS

ROWS, LENGTH = 2, 15


def configuration(d_model, n_heads):
    n = d_model // n_heads // 2
    return comparison.config("retnet", d_model, n_heads, rope_theta=10000.0 ** (n / (n - 1)))


def neighbours(weight, heads):
    """Rows of q or k [H (2 n), D] in the order in which a head's neighbours are what the library has n apart."""
    n = weight.shape[0] // heads // 2
    return weight.unflatten(0, (heads, 2, n)).transpose(1, 2).flatten(0, 2)


# ---- torchscale, Microsoft's own ------------------------------------------------------------------------

def torchscale():
    """Its two classes. The file of the second imports two packages for what it does not need here."""
    def nothing(*_, **__):
        raise AssertionError("not for retention")
    for name, contents in (("fairscale.nn", ["checkpoint_wrapper", "wrap"]), ("timm.models.layers", ["drop_path"])):
        parts = name.split(".")
        for i in range(1, len(parts) + 1):
            sys.modules.setdefault(".".join(parts[:i]), types.ModuleType(".".join(parts[:i])))
        for what in contents:
            setattr(sys.modules[name], what, nothing)
    from torchscale.architecture.retnet import RetNetRelPos
    from torchscale.component.multiscale_retention import MultiScaleRetention
    return MultiScaleRetention, RetNetRelPos


def torchscale_case(form, length=LENGTH):
    MultiScaleRetention, RetNetRelPos = torchscale()
    d_model, heads, chunk = 16, 2, 5
    config = configuration(d_model, heads)
    weights = comparison.weights(config)
    weights["blocks.0.mixer.head_norm.weight"][:] = 1  # it has none
    args = types.SimpleNamespace(
        multiway=False, layernorm_eps=EPS, decoder_embed_dim=d_model, decoder_retention_heads=heads,
        recurrent_chunk_size=chunk)
    layer = MultiScaleRetention(args, d_model, 2 * d_model, heads)
    positions = RetNetRelPos(args).double()

    def mixer(p, n):
        parameters = {
            "q_proj.weight": neighbours(p["q"], heads), "k_proj.weight": neighbours(p["k"], heads),
            "v_proj.weight": p["v"], "g_proj.weight": p["gate"], "out_proj.weight": p["out"]}
        length = n.shape[1]
        if form == "recurrent":
            state, rows = {}, []
            for t in range(length):
                at = positions(t + 1, activate_recurrent=True)
                rows.append(call(layer, parameters, n[:, t:t + 1], at, False, state))
            return torch.cat(rows, 1)
        chunked = form == "chunkwise"
        return call(layer, parameters, n, positions(length, chunkwise_recurrent=chunked), chunked)
    return case(config, weights, comparison.tokens(ROWS, length), mixer)


# ---- yet-another-retnet ---------------------------------------------------------------------------------

def another_case(form, length=LENGTH):
    """Its retention alone: its layer has values as wide as keys and another norm. Its decays are the paper's with five heads."""
    from yet_another_retnet import retention as peer
    d_model, heads = 20, 5
    config = configuration(d_model, heads)

    def mixer(p, n):
        batch, length, _ = n.shape
        at = torch.arange(length, dtype=n.dtype)[:, None] * peer._build_position_thetas(d_model // heads, dtype=n.dtype)

        def split(x):
            return x.unflatten(-1, (heads, -1)).transpose(1, 2)  # [B, H, T, d]
        q, k = (peer._theta_shift(split(n @ neighbours(p[name], heads).mT), at.sin(), at.cos()) for name in "qk")
        v = split(n @ p["v"].mT)
        if form == "parallel":
            o = peer.retention_parallel(q, k, v)[0]
        else:
            step = {"recurrent": 1, "chunkwise": 4}[form]
            state, rows = None, []
            for t in range(0, length, step):
                if form == "recurrent":
                    row, state = peer.retention_recurrent(q[:, :, t], k[:, :, t], v[:, :, t], state)
                    row = row[:, :, None]
                else:
                    row, state = peer.retention_chunkwise(
                        q[:, :, t:t + step], k[:, :, t:t + step], v[:, :, t:t + step], state)
                rows.append(row)
            o = torch.cat(rows, 2)
        o = norm(o.transpose(1, 2), p["head_norm"].unflatten(0, (heads, -1))).flatten(2)
        return (o * torch.nn.functional.silu(n @ p["gate"].mT)) @ p["out"].mT
    return case(config, comparison.weights(config), comparison.tokens(ROWS, length), mixer)


CASES = {f"{name}-{form}": (lambda make=make, form=form: make(form))
         for name, make in (("torchscale", torchscale_case), ("yet-another-retnet", another_case))
         for form in ("parallel", "recurrent", "chunkwise")}
FIXED = ["torchscale-parallel", "yet-another-retnet-recurrent"]


@pytest.mark.parametrize("name", CASES)
def test_retention_agrees(name):
    comparison.check(CASES[name]())


def test_a_long_text_agrees():
    """Long enough for the slowest head to forget."""
    comparison.check(torchscale_case("chunkwise", length=255))
    comparison.check(another_case("chunkwise", length=255))


def test_another_base_would_be_seen():
    case = CASES["torchscale-parallel"]()
    case.config = {**case.config, "rope_theta": 10000.0}
    assert comparison.error(case.model().forward(case.tokens), case.logits) > 100 * comparison.VALUES
