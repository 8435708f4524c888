"""The levels of a session: looking at them, stopping them, forgetting."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import _library
from ._errors import ArgumentError, check
from ._handle import Handle
from ._library import lib

if TYPE_CHECKING:
    from ._model import Model

__all__ = ["Level"]


@dataclass(frozen=True)
class Level:
    """State of one CMS level of one layer (arXiv 2512.24695, equations 70 to 73)."""

    layer: int
    """Block, from 0."""
    level: int
    """0 is the fastest."""
    chunk: int
    """It updates once per so many tokens; 0 = never."""
    frozen: bool
    """Whether `Session.freeze` stopped it."""
    last_update: int | None
    """Position in the stream, None before the first."""
    next_update: int | None
    """Position in the stream, None when it never updates."""
    updates: int
    """So far."""
    skipped: int
    """Updates dropped because they were not finite."""
    parameters: int
    """Number of its weights."""
    learning_rate: float
    """Of the online updates, `Session.scale_learning_rate` included."""
    weight_norm: float
    """Of the online weights."""
    delta_norm: float
    """Distance from the model's weights: what the session has learnt."""
    last_gradient_norm: float
    """Of the last update, before clipping."""
    last_update_norm: float
    """Of the last change of the weights."""
    pending_norm: float
    """Of the gradient collected since the last update."""


class Levels(Handle):
    """What a `Session` can do with its levels."""

    _model: Model

    @property
    def levels(self) -> list[Level]:
        """The CMS levels of all layers, layer by layer, the fastest first; then the head.

        The head is a level where the task is "classify" or "regress": layer `n_layers`, level 0.
        """
        shape = self._model._shape
        found = [self.level(layer, level) for layer in range(shape.n_layers)
                 for level in range(shape.n_levels)]
        if shape.task != _library.NESTED_TASK_LM:
            found.append(self.level(shape.n_layers, 0))
        return found

    def level(self, layer: int, level: int) -> Level:
        """One level of one layer.

        Parameters
        ----------
        layer : int
            Block, from 0; the head of a classifier comes after the last.
        level : int
            0 is the fastest.

        Returns
        -------
        Level

        Raises
        ------
        ArgumentError
            There is no such level.

        Examples
        --------
        >>> session = model.session(learn="on")
        >>> _ = session.read(text)
        >>> fast = session.level(0, 0)
        >>> fast.chunk, fast.updates, fast.last_update, fast.next_update
        (64, 14, 896, 960)
        """
        r = _library.nested_level()
        check(lib.nested_session_level(self._handle, layer, level, ctypes.byref(r)))
        return Level(
            r.layer, r.level, r.chunk, bool(r.frozen),
            r.last_update if r.last_update >= 0 else None,
            r.next_update if r.next_update >= 0 else None, r.n_updates, r.n_skipped, r.n_params,
            r.lr, r.weight_norm, r.delta_norm, r.last_grad_norm, r.last_update_norm,
            r.pending_norm)

    def freeze(self, layer: int | None = None, level: int | None = None) -> None:
        """Stops levels from learning.

        Parameters
        ----------
        layer : int, optional
            One block; by default all.
        level : int, optional
            One level, 0 is the fastest; by default all.
        """
        self._control(layer, level, frozen=1)

    def thaw(self, layer: int | None = None, level: int | None = None) -> None:
        """Undoes `freeze`.

        Parameters
        ----------
        layer : int, optional
            One block; by default all.
        level : int, optional
            One level, 0 is the fastest; by default all.
        """
        self._control(layer, level, frozen=-1)

    def scale_learning_rate(
        self, factor: float, layer: int | None = None, level: int | None = None,
    ) -> None:
        """Sets the factor on the configured learning rate of levels.

        Parameters
        ----------
        factor : float
            More than 0.
        layer : int, optional
            One block; by default all.
        level : int, optional
            One level, 0 is the fastest; by default all.
        """
        if not factor > 0:
            raise ArgumentError(
                "factor must be more than 0 (freeze stops a level)",
                code=_library.NESTED_E_RANGE, place="factor")
        self._control(layer, level, lr_scale=factor)

    def _control(self, layer: int | None, level: int | None, **fields: Any) -> None:
        control = _library.nested_level_control(**fields)
        check(lib.nested_session_level_control(
            self._handle, _all(layer), _all(level), ctypes.byref(control)))

    def flush(self, layer: int | None = None, level: int | None = None) -> None:
        """Applies collected gradients now instead of at the end of the period.

        Parameters
        ----------
        layer : int, optional
            One block; by default all.
        level : int, optional
            One level, 0 is the fastest; by default all.

        Notes
        -----
        The clock is untouched.
        """
        check(lib.nested_session_level_flush(self._handle, _all(layer), _all(level)))

    def reset_levels(self, layer: int | None = None, level: int | None = None) -> None:
        """Returns levels to the model's weights: forgets what they have learnt.

        Parameters
        ----------
        layer : int, optional
            One block; by default all.
        level : int, optional
            One level, 0 is the fastest; by default all.
        """
        check(lib.nested_session_level_reset(self._handle, _all(layer), _all(level)))


def _all(index: int | None) -> int:
    if index is not None and not 0 <= index < 2**31:
        raise ArgumentError(
            f"there is no layer or level {index}", code=_library.NESTED_E_RANGE, place="level")
    return -1 if index is None else index
