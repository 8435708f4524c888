"""Models: weights, forward, loss, files."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Union

import numpy as np
from numpy.typing import NDArray

from . import _library
from ._arrays import Tokens, float_array, pointer, rows_array, tokens_array, view
from ._config import Config
from ._context import Context, default_context
from ._errors import ArgumentError, check
from ._handle import Handle
from ._library import lib
from ._run import Cancel, ProgressCallback, Run

if TYPE_CHECKING:
    from ._session import Session

__all__ = ["Evaluation", "Model", "TensorInfo", "Tensors", "load"]

PathLike = Union[str, bytes, "os.PathLike[str]", "os.PathLike[bytes]"]


@dataclass(frozen=True)
class Evaluation:
    """Loss of a batch."""

    loss: float
    """Weighted mean over the targets, in nats; NaN when there are none."""
    perplexity: float
    targets: float
    """Targets that counted, by their weights."""


@dataclass(frozen=True)
class TensorInfo:
    """Where a named tensor stands in the model."""

    name: str
    shape: tuple[int, ...]
    layer: int
    """Block, -1 outside the blocks."""
    level: int
    """CMS level, 0 is the fastest; -1 outside a CMS."""
    flat_offset: int
    """Its first element in `Model.parameters` and in the trainer's flat gradient."""


class Tensors(Mapping[str, NDArray[np.float32]]):
    """The named tensors of a model: reading copies out, assigning copies in."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._index: dict[str, tuple[int, TensorInfo]] = {}
        handle = model._handle
        for index in range(lib.nested_model_tensor_count(handle)):
            record = _library.nested_tensor_info()
            check(lib.nested_model_tensor_at(handle, index, ctypes.byref(record)))
            name = record.name.decode()
            self._index[name] = index, TensorInfo(
                name, tuple(record.shape[: record.ndim]), record.layer, record.level,
                record.flat_offset)

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        index, info = self._index[name]
        result = np.empty(info.shape, np.float32)
        check(lib.nested_model_tensor_get(
            self._model._handle, index, ctypes.byref(view(result))))
        return result

    def __setitem__(self, name: str, value: Any) -> None:
        index, info = self._index[name]
        array = float_array(value, name)
        if array.shape != info.shape:
            raise ArgumentError(
                f"expected shape {list(info.shape)}, got {list(array.shape)}",
                code=_library.NESTED_E_SHAPE, place=name)
        check(lib.nested_model_tensor_set(
            self._model._handle, index, ctypes.byref(view(array, _library.nested_cview))))

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def __len__(self) -> int:
        return len(self._index)

    def info(self, name: str) -> TensorInfo:
        """Shape, layer, level and flat position of one tensor, without copying it."""
        return self._index[name][1]

    def __repr__(self) -> str:
        return "\n".join(f"{i.name} {list(i.shape)}" for _, i in self._index.values())


class Model(Handle):
    """The weights of one network.

    Parameters
    ----------
    config : dict
        Architecture, for example ``{"kind": "hope", "vocab": 256, "d_model": 128}`` or
        ``{"preset": "hope-1m"}``.  Unknown keys are errors; ``nested.config_schema()`` lists all.
    seed : int
        Of the initial weights.
    context : Context, optional
        Threads and memory; by default one context with all cores is shared.

    Examples
    --------
    >>> model = nested.Model({"kind": "hope", "vocab": 256, "d_model": 64, "n_layers": 2})
    >>> model.loss(b"to be or not to be")
    5.545...
    """

    _release = "nested_model_release"

    def __init__(
        self, config: Mapping[str, Any], seed: int = 0, *, context: Context | None = None,
    ) -> None:
        context = context or default_context()
        with Config(config) as parsed:
            out = ctypes.c_void_p()
            check(lib.nested_model_create(
                context._handle, parsed._handle, seed & (2**64 - 1), ctypes.byref(out)))
        self._own(out, context)

    def _own(self, handle: ctypes.c_void_p, context: Any) -> None:
        """Takes over one count; `context` (or what came from it) keeps its callbacks alive."""
        self._adopt(handle, context._keep)
        self._tensors: Tensors | None = None

    @classmethod
    def _from(cls, handle: ctypes.c_void_p, context: Any) -> Model:
        model = cls.__new__(cls)
        model._own(handle, context)
        return model

    # What it is

    @property
    def config(self) -> dict[str, Any]:
        """The whole configuration, every key present."""
        out = ctypes.c_void_p()
        check(lib.nested_model_get_config(self._handle, ctypes.byref(out)))
        with Config._from(out) as config:
            return config.to_dict()

    def _info(self) -> Any:
        record = _library.nested_model_info()
        check(lib.nested_model_get_info(self._handle, ctypes.byref(record)))
        return record

    @property
    def size(self) -> int:
        """Number of parameters."""
        return int(self._info().n_params)

    @property
    def vocab(self) -> int:
        return int(self._info().vocab)

    @property
    def version(self) -> int:
        """Counts the changes of the weights."""
        return int(self._info().version)

    @property
    def fingerprint(self) -> int:
        """Hash of the configuration: equal for models whose states can be exchanged."""
        return int(self._info().fingerprint)

    @property
    def tensors(self) -> Tensors:
        """Mapping from name to a copy of the tensor; assignment writes into the model."""
        if self._tensors is None or self.closed:
            self._tensors = Tensors(self)
        return self._tensors

    @property
    def parameters(self) -> NDArray[np.float32]:
        """All weights as one vector, in the order of `TensorInfo.flat_offset`; assignable."""
        result = np.empty(self.size, np.float32)
        check(lib.nested_model_params_get(self._handle, pointer(result), result.size))
        return result

    @parameters.setter
    def parameters(self, value: Any) -> None:
        array = np.ascontiguousarray(value, np.float32).reshape(-1)
        check(lib.nested_model_params_set(self._handle, pointer(array), array.size))

    def clone(self) -> Model:
        """An independent copy."""
        out = ctypes.c_void_p()
        check(lib.nested_model_clone(self._handle, ctypes.byref(out)))
        return self._from(out, self)

    # What it computes

    def forward(
        self, tokens: Tokens, *, progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
    ) -> NDArray[np.float32]:
        """Logits of every position, each row read as a fresh stream.

        Parameters
        ----------
        tokens : [B, T] integers, or [T]

        Returns
        -------
        float32 array [B, T, V], or [T, V] for one row given as [T]
        """
        array = tokens_array(tokens)
        rows = rows_array(array)
        result = np.empty((*rows.shape, self.vocab), np.float32)
        with Batch(rows) as batch, Run(progress, cancel) as run:
            check(lib.nested_model_forward(
                self._handle, batch.pointer, run.pointer, ctypes.byref(view(result))))
        return result[0] if array.ndim == 1 else result

    def evaluate(
        self, tokens: Tokens, *, targets: Tokens | None = None, weights: Any = None,
        progress: ProgressCallback | None = None, cancel: Cancel | None = None,
    ) -> Evaluation:
        """Loss of a batch; each row is a fresh stream and the weights stay as they are.

        Parameters
        ----------
        tokens : [B, T] integers, or [T]
        targets : [B, T] integers, optional
            By default the next token of the row; ``nested.IGNORE`` adds no loss.
        weights : [B, T] floats, optional
            Weight of the loss at each position, 0 or more; by default all are 1.
        """
        record = _library.nested_eval()
        with Batch(rows_array(tokens), targets, weights) as batch, Run(progress, cancel) as run:
            check(lib.nested_model_evaluate(
                self._handle, batch.pointer, run.pointer, ctypes.byref(record)))
        return Evaluation(record.loss, record.perplexity, record.n_targets)

    def loss(self, tokens: Tokens, **options: Any) -> float:
        """Mean loss in nats per target; options as for `evaluate`."""
        return self.evaluate(tokens, **options).loss

    # Files and sessions

    def save(
        self, path: PathLike, *, sync: bool = True, progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
    ) -> None:
        """Writes a safetensors file, whole or not at all.

        Parameters
        ----------
        path : path
            Replaced in one step; a crash at any moment leaves the old file or the new one.
        sync : bool
            False skips waiting for the disk.
        """
        with Run(progress, cancel) as run:
            check(lib.nested_model_save(
                self._handle, os.fsencode(path), 0 if sync else _library.NESTED_SAVE_NO_SYNC,
                run.pointer))

    def session(self, learn: str = "memory", seed: int = 0) -> Session:
        """Opens a stream on this model; see `Session`.

        Parameters
        ----------
        learn : {"off", "memory", "on"}
            ``"off"``: nothing is written.  ``"memory"``: the in-context memories are, as in
            `forward`.  ``"on"``: the CMS levels learn online as well.
        seed : int
            Of the sampling.
        """
        from ._session import Session

        return Session(self, learn, seed)

    def restore(self, path: PathLike) -> Session:
        """Opens the session that `Session.save` wrote, exactly where it was."""
        from ._session import Session

        return Session._load(self, path)

    def __repr__(self) -> str:
        if self.closed:
            return "<nested.Model, closed>"
        info = self._info()
        return (f"<nested.Model {info.n_params:,} parameters, {info.n_layers} layers, "
                f"width {info.d_model}, vocabulary {info.vocab}>")


class Batch:
    """A `nested_batch` and the arrays that it points into."""

    def __init__(
        self, rows: NDArray[np.int32], targets: Tokens | None = None, weights: Any = None,
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


def load(
    path: PathLike, *, context: Context | None = None,
    progress: ProgressCallback | None = None, cancel: Cancel | None = None,
) -> Model:
    """Reads a model that `Model.save` wrote.

    Raises
    ------
    FileError
        The file is missing, truncated, foreign or damaged.
    """
    context = context or default_context()
    out = ctypes.c_void_p()
    with Run(progress, cancel) as run:
        check(lib.nested_model_load(
            context._handle, os.fsencode(path), 0, run.pointer, ctypes.byref(out)))
        return Model._from(out, context)
