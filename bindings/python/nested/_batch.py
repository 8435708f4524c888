"""Batches on their way into C, and what a batch came to."""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _library
from ._arrays import Tokens, float_array, pointer, rows_array, tokens_array, vectors_array, view
from ._errors import ArgumentError

__all__ = ["Evaluation"]


@dataclass(frozen=True)
class Evaluation:
    """Loss of a batch."""

    loss: float
    """Weighted mean over the targets, in nats, or half squared errors; NaN when there are none."""
    perplexity: float
    """``exp(loss)``; NaN for task "regress"."""
    targets: float
    """Targets that counted, by their weights."""
    accuracy: float
    """Task "classify": the share of targets that were ranked first, by their weights; else NaN."""

    @classmethod
    def _of(cls, record: Any) -> Evaluation:
        accuracy = record.accuracy if record.accuracy >= 0 else math.nan  # one NaN, so that equal is equal
        return cls(record.loss, record.perplexity, record.n_targets, accuracy)


class Batch:
    """A `nested_batch` and the arrays that it points into: rows of tokens or of vectors.

    `shape` is the `nested_model_info` of the model that they are for.
    """

    def __init__(
        self, shape: Any, tokens: Tokens | None = None, inputs: ArrayLike | None = None,
        targets: Tokens | None = None, labels: ArrayLike | None = None,
        weights: ArrayLike | None = None,
    ) -> None:
        if (tokens is None) == (inputs is None):
            raise ArgumentError("a batch has either tokens or inputs", place="inputs")
        self._record = _library.nested_batch()
        self._keep: list[Any] = []
        if tokens is not None:
            array = tokens_array(tokens)
            self.single = array.ndim == 1
            self.rows, self.length = self._tokens(rows_array(array))
        else:
            vectors = vectors_array(inputs)
            self.single = vectors.ndim == 1
            self.rows, self.length = self._inputs(vectors)
        self._record.n_seq, self._record.seq_len = self.rows, self.length
        if targets is not None:
            self._record.targets = self._like(rows_array(targets, "targets"), "targets")
        whole = False  # labels of whole rows
        if labels is not None:
            numbers = shape.task == _library.NESTED_TASK_REGRESS
            given: NDArray[Any] = self._numbers(labels, shape) if numbers else self._ids(labels)
            whole = given.ndim == 1 + numbers
            self._record.labels = self._viewed(given)
        if weights is not None:
            self._record.weights = self._weights(weights, whole)
        self.pointer = ctypes.byref(self._record)

    def _tokens(self, rows: NDArray[np.int32]) -> tuple[int, int]:
        self._keep.append(rows)
        self._record.tokens = pointer(rows)
        return rows.shape[0], rows.shape[1]

    def _inputs(self, vectors: NDArray[Any]) -> tuple[int, int]:
        """[N] is one row of one vector, [B, N] are rows of one, [B, T, N] is everything."""
        if vectors.ndim > 3:
            raise ArgumentError(
                f"a batch of vectors has three dimensions [B, T, N], got {list(vectors.shape)}",
                code=_library.NESTED_E_SHAPE, place="inputs")
        if vectors.ndim < 3:
            vectors = vectors[..., None, :] if vectors.ndim == 2 else vectors[None, None, :]
        self._record.inputs = self._viewed(vectors)
        return vectors.shape[0], vectors.shape[1]

    def _ids(self, labels: ArrayLike) -> NDArray[np.int64]:
        """Class ids: [B], or [B, T] when every position has one."""
        array = np.asarray(labels)
        if array.dtype.kind not in "iub":
            raise ArgumentError(
                f"labels are integers, not {array.dtype}", code=_library.NESTED_E_DTYPE,
                place="labels")
        if self.single and array.ndim == 1 and array.size == self.length > 1:
            array = array[None, :]  # of the positions of the one row
        return np.ascontiguousarray(array.reshape(1) if array.ndim == 0 else array, np.int64)

    def _numbers(self, labels: ArrayLike, shape: Any) -> NDArray[Any]:
        """Numbers: [B, n_outputs] or [B, T, n_outputs]; with one output [B] as well."""
        array = float_array(labels, "labels")
        if array.ndim < 2 and shape.n_outputs == 1:
            return array.reshape(-1, 1)
        return array[None, :] if array.ndim == 1 and self.single else array

    def _weights(self, weights: ArrayLike, whole: bool) -> int | None:
        array = np.ascontiguousarray(float_array(weights, "weights"), np.float32)
        if not whole:
            return self._like(array[None, :] if array.ndim == 1 else array, "weights")
        array = array.reshape(1) if array.ndim == 0 else array
        if array.shape != (self.rows,):
            raise ArgumentError(
                f"expected a weight for each of {self.rows} rows, got {list(array.shape)}",
                code=_library.NESTED_E_SHAPE, place="weights")
        self._keep.append(array)
        return pointer(array)

    def _like(self, array: NDArray[Any], name: str) -> int | None:
        if array.shape != (self.rows, self.length):
            raise ArgumentError(
                f"expected the shape of the rows {[self.rows, self.length]}, got {list(array.shape)}",
                code=_library.NESTED_E_SHAPE, place=name)
        self._keep.append(array)
        return pointer(array)

    def _viewed(self, array: NDArray[Any]) -> Any:
        seen = view(array, _library.nested_cview)
        self._keep += [array, seen]
        return ctypes.pointer(seen)

    def result(
        self, shape: Any, n_outputs: int,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Where answers go, and what of it the caller gets: one answer a row, or one a position."""
        wanted: tuple[int, ...] = (self.rows, n_outputs)
        if shape.task == _library.NESTED_TASK_LM:
            wanted = (self.rows, self.length, shape.vocab)
        array = np.empty(wanted, np.float32)
        return array, array[0] if self.single and self.rows == 1 else array

    def __enter__(self) -> Batch:
        return self

    def __exit__(self, *failure: object) -> None:
        self._keep.clear()
