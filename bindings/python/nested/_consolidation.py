"""Consolidation: what sessions have learnt becomes a new model."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np

from . import _library
from ._arrays import pointer
from ._errors import ArgumentError, check
from ._library import lib
from ._model import Model
from ._run import Cancel, ProgressCallback, Run
from ._session import Session

__all__ = ["consolidate"]


def consolidate(
    model: Model, sessions: Sequence[Session], *, weights: Sequence[float] | None = None,
    levels: Sequence[int] | None = None, strength: float = 1.0, max_norm: float = 0.0,
    progress: ProgressCallback | None = None, cancel: Cancel | None = None,
) -> Model:
    """A new model: the weights plus the weighted mean of what the sessions' levels learnt.

    Parameters
    ----------
    model : Model
        The one that all sessions were opened on; it and they stay as they are.
    sessions : sequence of Session
    weights : sequence of float, optional
        Of the sessions; equal by default, normalised.
    levels : sequence of int, optional
        Levels that take part; all by default.
    strength : float
        Fraction of the change that is taken over; not 0.
    max_norm : float
        Bound on the merged change of each tensor, 0 for none.
    """
    count = len(sessions)
    handles = (ctypes.c_void_p * max(count, 1))(*(s._handle.value for s in sessions))
    if strength == 0:
        raise ArgumentError(
            "strength 0 would change nothing", code=_library.NESTED_E_RANGE, place="strength")
    options = _library.nested_consolidation(strength=strength, max_norm=max_norm)
    if levels is not None:
        if not levels or any(not 0 <= level < 32 for level in levels):
            raise ArgumentError(
                "levels are numbers from 0 to 31", code=_library.NESTED_E_RANGE, place="levels")
        options.level_mask = sum({1 << level for level in levels})
    if weights is not None:
        array = np.ascontiguousarray(weights, np.float64)
        if array.shape != (count,):
            raise ArgumentError(
                f"expected {count} weights, got shape {list(array.shape)}",
                code=_library.NESTED_E_SHAPE, place="weights")
        options.session_weights = pointer(array)
    out = ctypes.c_void_p()
    with Run(progress, cancel) as run:
        check(lib.nested_model_consolidate(
            model._handle, handles, count, ctypes.byref(options), run.pointer,
            ctypes.byref(out)))
        return Model._from(out, model)
