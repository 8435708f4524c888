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
        At least one.
    weights : sequence of float, optional
        Of the sessions, 0 or more; equal by default, normalised.
    levels : sequence of int, optional
        Levels that take part; all by default.
    strength : float, default 1
        Fraction of the change that is taken over; not 0.
    max_norm : float, default 0
        Bound on the merged change of each tensor, 0 for none.
    progress : callable, optional
        Called with a `Progress` a few times a second; returning True stops the call.
    cancel : Cancel, optional
        A flag by which another thread may stop the call.

    Returns
    -------
    Model
        In the context of `model`.

    Raises
    ------
    MismatchError
        A session is of another configuration.
    ArgumentError
        An option is out of range, or there are no sessions.

    Notes
    -----
    The paper leaves the way back from level to weights open; this mean is libnested's own.

    Examples
    --------
    >>> session = model.session(learn="on")
    >>> _ = session.read(b"eins zwei drei vier. " * 20)
    >>> wiser = nested.consolidate(model, [session])
    >>> wiser.loss(b"eins zwei drei") < model.loss(b"eins zwei drei")
    True
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
