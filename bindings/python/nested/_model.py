"""Models: weights, forward, loss, files."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Union

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _library
from ._arrays import (
    Buffer,
    Tokens,
    bytes_array,
    float_array,
    pointer,
    rows_array,
    tokens_array,
    view,
)
from ._config import Config, blob_bytes
from ._context import Context, default_context
from ._errors import ArgumentError, check
from ._handle import Handle
from ._library import lib
from ._options import ModelConfig
from ._run import Cancel, ProgressCallback, Run

if TYPE_CHECKING:
    from ._session import Session

__all__ = ["Evaluation", "Model", "TensorInfo", "Tensors", "load"]

PathLike = Union[str, bytes, "os.PathLike[str]", "os.PathLike[bytes]"]


LearnMode = Literal["off", "memory", "on"]


@dataclass(frozen=True)
class Evaluation:
    """Loss of a batch."""

    loss: float
    """Weighted mean over the targets, in nats; NaN when there are none."""
    perplexity: float
    """``exp(loss)``."""
    targets: float
    """Targets that counted, by their weights."""


@dataclass(frozen=True)
class TensorInfo:
    """Where a named tensor stands in the model."""

    name: str
    """Dotted and permanent, for example ``"blocks.0.cms.1.up.weight"``."""
    shape: tuple[int, ...]
    """At most six dimensions."""
    layer: int
    """Block, -1 outside the blocks."""
    level: int
    """CMS level, 0 is the fastest; -1 outside a CMS."""
    flat_offset: int
    """Its first element in `Model.parameters` and in `Trainer.flat_gradient`."""


class Tensors(Mapping[str, NDArray[np.float32]]):
    """The named tensors of a model: reading copies out, assigning copies in.

    Notes
    -----
    Values are float32 arrays.  Assigning takes numbers of any type and of the tensor's shape.
    Sessions that run at the time see the old or the new weights, never a mixture in one chunk; a
    trainer keeps its optimizer state.

    Examples
    --------
    >>> model.tensors["norm.weight"].shape
    (32,)
    >>> model.tensors["norm.weight"] = np.ones(32)
    >>> model.tensors["norm.weight"] = np.ones(31)
    Traceback (most recent call last):
    nested.ArgumentError: expected shape [32], got [31] (at norm.weight) [NESTED_E_SHAPE]
    >>> [name for name in model.tensors if ".cms.0." in name][0]
    'blocks.0.cms.0.norm.weight'
    """

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
        """Shape, layer, level and flat position of one tensor, without copying it.

        Parameters
        ----------
        name : str

        Returns
        -------
        TensorInfo

        Raises
        ------
        KeyError
            There is no tensor of that name.
        """
        return self._index[name][1]

    def __repr__(self) -> str:
        return "\n".join(f"{i.name} {list(i.shape)}" for _, i in self._index.values())


class Model(Handle):
    """The weights of one network.

    Parameters
    ----------
    config : dict
        Architecture, for example ``{"kind": "hope", "vocab": 256, "d_model": 128}`` or
        ``{"preset": "hope-1m"}``.  Unknown keys are errors; `config_schema` lists all.
    seed : int, default 0
        Of the initial weights; modulo 2**64.
    context : Context, optional
        Threads and memory; by default one context with all cores is shared.

    Raises
    ------
    ConfigError
        The configuration is invalid; ``place`` is the JSON pointer of the culprit.
    UnsupportedError
        It names what this release lacks.
    MemoryLimitError
        The weights do not fit.

    Notes
    -----
    Hope is self-modifying Titans followed by a Continuum Memory System, as in "Nested Learning",
    arXiv 2512.24695, equations 70 to 97.  Configuration, seed and calls decide every bit of every
    result, whatever the number of threads.

    `copy.copy` and `copy.deepcopy` make an independent copy (`clone`).  A pickled model is its
    configuration and weights; unpickled, it is in the default context of its process.

    Examples
    --------
    >>> model = nested.Model({"vocab": 256, "d_model": 32, "n_layers": 2}, seed=7)
    >>> model
    <nested.Model 62,692 parameters, 2 layers of width 32, 3 levels, vocabulary 256>
    >>> round(model.loss(b"to be or not to be"), 1)
    5.5
    """

    _release = "nested_model_release"

    def __init__(
        self, config: ModelConfig | Mapping[str, Any], seed: int = 0, *,
        context: Context | None = None,
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
        self._shape = self._info()  # what never changes, for sessions that outlive `close`
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
        """Number of tokens, V: ids are 0 to V - 1."""
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
        """All weights as one float32 vector [size], by `TensorInfo.flat_offset`; assignable."""
        result = np.empty(self.size, np.float32)
        check(lib.nested_model_params_get(self._handle, pointer(result), result.size))
        return result

    @parameters.setter
    def parameters(self, value: Any) -> None:
        array = np.ascontiguousarray(value, np.float32).reshape(-1)
        check(lib.nested_model_params_set(self._handle, pointer(array), array.size))

    def clone(self) -> Model:
        """An independent copy, in the same context.

        Returns
        -------
        Model
            Without the trainer that this one may have.
        """
        out = ctypes.c_void_p()
        check(lib.nested_model_clone(self._handle, ctypes.byref(out)))
        return self._from(out, self)

    def __copy__(self) -> Model:
        return self.clone()

    def __deepcopy__(self, memo: Any) -> Model:
        return self.clone()

    def __reduce__(self) -> Any:
        return type(self).from_bytes, (self.to_bytes(),)

    # What it computes

    def forward(
        self, tokens: Tokens, *, progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
    ) -> NDArray[np.float32]:
        """Logits of every position, each row read as a fresh stream.

        Parameters
        ----------
        tokens : [B, T] integers, or [T]
            Token ids.
        progress : callable, optional
            Called with a `Progress` a few times a second; returning True stops the call.
        cancel : Cancel, optional
            A flag by which another thread may stop the call.

        Returns
        -------
        float32 array [B, T, V], or [T, V] for one row given as [T]
            Not normalised: the softmax of row t predicts token t + 1.

        Raises
        ------
        ArgumentError
            An id is outside the vocabulary, or the tokens are no batch.
        Cancelled
            `cancel` was raised or `progress` returned True.

        Examples
        --------
        >>> model.forward(b"abc").shape
        (3, 256)
        >>> model.forward([b"abc", b"abd"]).shape
        (2, 3, 256)
        """
        array = tokens_array(tokens)
        rows = rows_array(array)
        result = np.empty((*rows.shape, self._shape.vocab), np.float32)
        with Batch(rows) as batch, Run(progress, cancel) as run:
            check(lib.nested_model_forward(
                self._handle, batch.pointer, run.pointer, ctypes.byref(view(result))))
        return result[0] if array.ndim == 1 else result

    def evaluate(
        self, tokens: Tokens, *, targets: Tokens | None = None, weights: ArrayLike | None = None,
        progress: ProgressCallback | None = None, cancel: Cancel | None = None,
    ) -> Evaluation:
        """Loss of a batch; each row is a fresh stream and the weights stay as they are.

        Parameters
        ----------
        tokens : [B, T] integers, or [T]
            Token ids.
        targets : [B, T] integers, optional
            By default the next token of the row; ``nested.IGNORE`` adds no loss.
        weights : [B, T] floats, optional
            Weight of the loss at each position, 0 or more; by default all are 1.
        progress : callable, optional
            Called with a `Progress` a few times a second; returning True stops the call.
        cancel : Cancel, optional
            A flag by which another thread may stop the call.

        Returns
        -------
        Evaluation

        Raises
        ------
        ArgumentError
            An id is outside the vocabulary, or shapes do not match.
        Cancelled
            `cancel` was raised or `progress` returned True.

        Examples
        --------
        >>> model.evaluate([b"abcd", b"efgh"]).targets
        6.0
        """
        record = _library.nested_eval()
        with Batch(rows_array(tokens), targets, weights) as batch, Run(progress, cancel) as run:
            check(lib.nested_model_evaluate(
                self._handle, batch.pointer, run.pointer, ctypes.byref(record)))
        return Evaluation(record.loss, record.perplexity, record.n_targets)

    def loss(
        self, tokens: Tokens, *, targets: Tokens | None = None, weights: ArrayLike | None = None,
        progress: ProgressCallback | None = None, cancel: Cancel | None = None,
    ) -> float:
        """Mean loss in nats per target; `evaluate` says more.

        Parameters
        ----------
        tokens : [B, T] integers, or [T]
            Token ids.
        targets : [B, T] integers, optional
            By default the next token of the row; ``nested.IGNORE`` adds no loss.
        weights : [B, T] floats, optional
            Weight of the loss at each position, 0 or more; by default all are 1.

        progress : callable, optional
            Called with a `Progress` a few times a second; returning True stops the call.
        cancel : Cancel, optional
            A flag by which another thread may stop the call.

        Returns
        -------
        float
            NaN when there are no targets.
        """
        return self.evaluate(
            tokens, targets=targets, weights=weights, progress=progress, cancel=cancel).loss

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
        sync : bool, default True
            False skips waiting for the disk.
        progress : callable, optional
            Called with a `Progress` a few times a second; returning True stops the call.
        cancel : Cancel, optional
            A flag by which another thread may stop the call.

        Raises
        ------
        FileError
            The system refused; ``errno`` says why.

        Examples
        --------
        >>> model.save("model.safetensors")
        >>> bool((nested.load("model.safetensors").parameters == model.parameters).all())
        True
        """
        with Run(progress, cancel) as run:
            check(lib.nested_model_save(
                self._handle, os.fsencode(path), 0 if sync else _library.NESTED_SAVE_NO_SYNC,
                run.pointer))

    def to_bytes(self) -> bytes:
        """The bytes that `save` would write.

        Returns
        -------
        bytes
            A safetensors file.
        """
        out = ctypes.c_void_p()
        check(lib.nested_model_save_blob(self._handle, 0, ctypes.byref(out)))
        return blob_bytes(out)

    @classmethod
    def from_bytes(cls, data: Buffer, *, context: Context | None = None) -> Model:
        """Reads what `to_bytes` or `save` wrote.

        Parameters
        ----------
        data : bytes
            Or anything else that is contiguous bytes; copied.
        context : Context, optional
            Threads and memory; by default one context with all cores is shared.

        Returns
        -------
        Model

        Raises
        ------
        FileError
            The bytes are truncated, foreign or damaged.

        Examples
        --------
        >>> nested.Model.from_bytes(model.to_bytes()).fingerprint == model.fingerprint
        True
        """
        context = context or default_context()
        out, buffer = ctypes.c_void_p(), bytes_array(data)
        check(lib.nested_model_load_bytes(
            context._handle, pointer(buffer), buffer.size, 0, ctypes.byref(out)))
        return cls._from(out, context)

    def session(self, learn: LearnMode = "memory", seed: int = 0) -> Session:
        """Opens a stream on this model; see `Session`.

        Parameters
        ----------
        learn : {"memory", "off", "on"}, default "memory"
            ``"off"``: nothing is written.  ``"memory"``: the in-context memories are, as in
            `forward`.  ``"on"``: the CMS levels learn online as well.
        seed : int, default 0
            Of the sampling; modulo 2**64.

        Returns
        -------
        Session
            At position 0.
        """
        from ._session import Session

        return Session(self, learn, seed)

    def restore(self, path: PathLike) -> Session:
        """Opens the session that `Session.save` wrote.

        Parameters
        ----------
        path : path
            Of a whole session, which goes on exactly where it was; or of a delta, which gives a
            fresh stream on levels that have learnt.

        Returns
        -------
        Session

        Raises
        ------
        FileError
            The file is missing, truncated, foreign or damaged.
        MismatchError
            It belongs to another configuration (``place`` is ``"nested.fingerprint"``) or, for a
            delta, to other weights (``"nested.weights"``).
        """
        from ._session import Session

        return Session._load(self, path)

    def _describe(self) -> str:
        info = self._info()
        return (f"{info.n_params:,} parameters, {info.n_layers} layers of width {info.d_model}, "
                f"{info.n_levels} levels, vocabulary {info.vocab}")


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


def load(
    path: PathLike, *, context: Context | None = None,
    progress: ProgressCallback | None = None, cancel: Cancel | None = None,
) -> Model:
    """Reads a model that `Model.save` wrote.

    Parameters
    ----------
    path : path
        Of a safetensors file.
    context : Context, optional
        Threads and memory; by default one context with all cores is shared.
    progress : callable, optional
        Called with a `Progress` a few times a second; returning True stops the call.
    cancel : Cancel, optional
        A flag by which another thread may stop the call.

    Returns
    -------
    Model

    Raises
    ------
    NotFoundError
        There is no such file.
    FileError
        The file is truncated, foreign or damaged.

    Examples
    --------
    >>> nested.load("missing.safetensors")
    Traceback (most recent call last):
    nested.NotFoundError: ...
    """
    context = context or default_context()
    out = ctypes.c_void_p()
    with Run(progress, cancel) as run:
        check(lib.nested_model_load(
            context._handle, os.fsencode(path), 0, run.pointer, ctypes.byref(out)))
        return Model._from(out, context)
