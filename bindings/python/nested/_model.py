"""Models: weights, forward, loss, files."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _library
from ._arrays import Tokens, pointer, rows_array, tokens_array, view
from ._batch import Batch, Evaluation
from ._config import Config
from ._context import Context, default_context
from ._errors import check
from ._library import lib
from ._model_files import ModelFiles, PathLike
from ._options import ModelConfig
from ._run import Cancel, ProgressCallback, Run
from ._tensors import Tensors

if TYPE_CHECKING:
    from ._session import Session

__all__ = ["Model"]

LearnMode = Literal["off", "memory", "on"]


class Model(ModelFiles):
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
