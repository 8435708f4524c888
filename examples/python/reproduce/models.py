"""The models that are compared, at equal parameters."""

from __future__ import annotations

import functools
from typing import Any

import nested

ALL = ["k", "v", "eta", "alpha", "mem"]

# Hope's memories are spelt out, so that results do not depend on what the library has as defaults.
SELF_MODIFYING = {"objective": "l2", "adapt": ALL}  # every memory writes itself: the papers' Hope
MAIN_MEMORY = {"objective": "dot", "adapt": ["mem"]}  # only the main one is written in context

KINDS = {
    "Transformer++": {"kind": "transformer"},
    "RetNet": {"kind": "retnet"},
    "Titans (LMM)": {"kind": "titans"},
    "Hope": {"kind": "hope", "memory": SELF_MODIFYING},
    "Hope (main memory)": {"kind": "hope", "memory": MAIN_MEMORY},
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
    wanted = size({"kind": "retnet", **{key: base[key] for key in (
        "vocab", "d_model", "n_layers", "head_dim")}})
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
