"""Batches on their way into C, and what a batch came to."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _library
from ._arrays import Tokens, float_array, pointer, rows_array
from ._errors import ArgumentError

__all__ = ["Evaluation"]


@dataclass(frozen=True)
class Evaluation:
    """Loss of a batch."""

    loss: float
    """Weighted mean over the targets, in nats; NaN when there are none."""
    perplexity: float
    """``exp(loss)``."""
    targets: float
    """Targets that counted, by their weights."""


class Batch:
    """A `nested_batch` and the arrays that it points into."""

    def __init__(
        self, rows: NDArray[np.int32], targets: Tokens | None = None,
        weights: ArrayLike | None = None,
    ) -> None:
        record = _library.nested_batch(
            n_seq=rows.shape[0], seq_len=rows.shape[1], tokens=pointer(rows))
        self._keep: list[Any] = [rows, record]
        if targets is not None:
            record.targets = self._like(rows, rows_array(targets, "targets"), "targets")
        if weights is not None:
            array = np.ascontiguousarray(float_array(weights, "weights"), np.float32)
            array = array[None, :] if array.ndim == 1 else array
            record.weights = self._like(rows, array, "weights")
        self.pointer = ctypes.byref(record)

    def _like(self, rows: NDArray[np.int32], array: NDArray[Any], name: str) -> int | None:
        if array.shape != rows.shape:
            raise ArgumentError(
                f"expected the shape of the tokens {list(rows.shape)}, got {list(array.shape)}",
                code=_library.NESTED_E_SHAPE, place=name)
        self._keep.append(array)
        return pointer(array)

    def __enter__(self) -> Batch:
        return self

    def __exit__(self, *failure: object) -> None:
        self._keep.clear()
