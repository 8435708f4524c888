"""The models that are compared, at equal parameters."""

from __future__ import annotations

import functools
from typing import Any

import nested

KINDS = {
    "Transformer++": {"kind": "transformer"},
    "RetNet": {"kind": "retnet"},
    "Titans (LMM)": {"kind": "titans"},
    "Hope": {"kind": "hope"},
    "Hope-Attention": {"kind": "hope-attention"},
}


@functools.lru_cache(maxsize=None)
def config(name: str, width: int, layers: int, heads: int, vocab: int, window: int) -> dict[str, Any]:
    """Width, layers and heads are the same for all; what follows the mixer is as wide as makes the
    parameters equal.  RetNet is the measure: its sizes all follow from the width."""
    base = {**KINDS[name], "vocab": vocab, "d_model": width, "n_layers": layers,
            "head_dim": width // heads}
    if "attention" in base["kind"] or base["kind"] == "transformer":
        base["window"] = window
    if base["kind"] == "retnet":
        return base
    wanted = size({**base, "kind": "retnet", "window": 0})
    at_64, at_128 = size(_with(base, 64)), size(_with(base, 128))
    return _with(base, max(1, round(64 + 64 * (wanted - at_64) / (at_128 - at_64))))


def _with(base: dict[str, Any], hidden: int) -> dict[str, Any]:
    """Hope's levels learn every 64 and every 1,024 bytes, and never: the presets' periods."""
    if not base["kind"].startswith("hope"):
        return {**base, "d_ff": hidden}
    levels = [{"chunk": 64, "hidden": hidden}, {"chunk": 1024, "hidden": hidden, "lr": 3e-3},
              {"chunk": 0, "hidden": hidden}]
    return {**base, "cms": {"levels": levels}}


def size(configuration: dict[str, Any]) -> int:
    return nested.Model(configuration, context=nested.Context(threads=1)).size
