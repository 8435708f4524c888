"""Models: weights, forward, loss, files."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _library
from ._arrays import Tokens, pointer, view
from ._batch import Batch, Evaluation
from ._config import Config, to_json
from ._context import Context, default_context
from ._errors import check
from ._library import lib
from ._model_files import ModelFiles, PathLike
from ._options import CMSConfig, ModelConfig
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
        """Number of tokens, V: ids are 0 to V - 1; 0 when the model reads vectors."""
        return int(self._info().vocab)

    @property
    def n_inputs(self) -> int:
        """Numbers in an input vector, N; 0 when the model reads tokens."""
        return int(self._info().n_inputs)

    @property
    def n_outputs(self) -> int:
        """Numbers of an answer, M: the vocabulary, the classes, or the outputs."""
        return int(self._info().n_outputs)

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
        self, tokens: Tokens | None = None, *, inputs: ArrayLike | None = None,
        progress: ProgressCallback | None = None, cancel: Cancel | None = None,
    ) -> NDArray[np.float32]:
        """Outputs of the rows of a batch: logits, or numbers for task "regress".

        Parameters
        ----------
        tokens : [B, T] integers, or [T], optional
            Token ids; each row is read as a fresh stream.
        inputs : [B, N] or [B, T, N] floats, or [N], optional
            Vectors, for models that read these instead of tokens.
        progress : callable, optional
            Called with a `Progress` a few times a second; returning True stops the call.
        cancel : Cancel, optional
            A flag by which another thread may stop the call.

        Returns
        -------
        float32 array [B, T, V], or [T, V] for one row given as [T]
            Not normalised: the softmax of row t predicts token t + 1.  For the tasks "classify"
            and "regress" one answer a row: [B, M], or [M].

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
        with self._batch(tokens, inputs) as batch, Run(progress, cancel) as run:
            array, result = batch.result(self._shape, self._shape.n_outputs)
            check(lib.nested_model_forward(
                self._handle, batch.pointer, run.pointer, ctypes.byref(view(array))))
        return result

    def evaluate(
        self, tokens: Tokens | None = None, *, inputs: ArrayLike | None = None,
        targets: Tokens | None = None, labels: ArrayLike | None = None,
        weights: ArrayLike | None = None, progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
    ) -> Evaluation:
        """Loss of a batch; each row is a fresh stream and the weights stay as they are.

        Parameters
        ----------
        tokens : [B, T] integers, or [T], optional
            Token ids; each row is read as a fresh stream.
        inputs : [B, N] or [B, T, N] floats, or [N], optional
            Vectors, for models that read these instead of tokens.
        targets : [B, T] integers, optional
            By default the next token of the row; ``nested.IGNORE`` adds no loss.
        labels : [B] or [B, T] integers; task "regress": [B, M] or [B, T, M] floats, optional
            For models whose task is "classify" or "regress": of each row, or of each position;
            ``nested.IGNORE`` (NaN) is not known.
        weights : shape of the targets, or of the labels without M, optional
            Weight of the loss at each of them, 0 or more; by default all are 1.
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
        with self._batch(tokens, inputs, targets, labels, weights) as batch, Run(
                progress, cancel) as run:
            check(lib.nested_model_evaluate(
                self._handle, batch.pointer, run.pointer, ctypes.byref(record)))
        return Evaluation._of(record)

    def loss(
        self, tokens: Tokens | None = None, *, inputs: ArrayLike | None = None,
        targets: Tokens | None = None, labels: ArrayLike | None = None,
        weights: ArrayLike | None = None, progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
    ) -> float:
        """Mean loss in nats per target; `evaluate` says more.

        Parameters
        ----------
        tokens : [B, T] integers, or [T], optional
            Token ids; each row is read as a fresh stream.
        inputs : [B, N] or [B, T, N] floats, or [N], optional
            Vectors, for models that read these instead of tokens.
        targets : [B, T] integers, optional
            By default the next token of the row; ``nested.IGNORE`` adds no loss.
        labels : [B] or [B, T] integers; task "regress": [B, M] or [B, T, M] floats, optional
            For models whose task is "classify" or "regress": of each row, or of each position;
            ``nested.IGNORE`` (NaN) is not known.
        weights : shape of the targets, or of the labels without M, optional
            Weight of the loss at each of them, 0 or more; by default all are 1.
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
            tokens, inputs=inputs, targets=targets, labels=labels, weights=weights,
            progress=progress, cancel=cancel).loss

    def _batch(self, *arrays: Any) -> Batch:
        return Batch(self._shape, *arrays)

    # Levels and sessions

    def stack(
        self, cms: CMSConfig | Mapping[str, Any] | None = None, pretrained: int = 0, seed: int = 0,
        *, progress: ProgressCallback | None = None, cancel: Cancel | None = None,
    ) -> Model:
        """Ad-hoc level stacking: a "hope-attention" whose level was this "transformer"'s ffn.

        Parameters
        ----------
        cms : dict, optional
            As the configuration's ``"cms"``; by default one level with a chunk of 64.
        pretrained : int, default 0
            The level that each block's feed-forward becomes.
        seed : int, default 0
            Of the levels beside it; modulo 2**64.
        progress : callable, optional
            Called with a `Progress` a few times a second; returning True stops the call.
        cancel : Cancel, optional
            A flag by which another thread may stop the call.

        Returns
        -------
        Model
            Its logits are this model's, bit for bit, until a session learns.

        Raises
        ------
        UnsupportedError
            The model is no "transformer".
        ConfigError
            `cms` is invalid.
        ArgumentError
            There is no level `pretrained`.

        Notes
        -----
        "Nested Learning", arXiv 2512.24695, section 7.3.  Other levels start so that they add
        nothing.

        Examples
        --------
        >>> plain = nested.Model({"kind": "transformer", "vocab": 256, "d_model": 32, "n_layers": 2})
        >>> stacked = plain.stack({"levels": [{"chunk": 16}, {"chunk": 64}]}, pretrained=1)
        >>> bool((stacked.forward(b"to be") == plain.forward(b"to be")).all())
        True
        >>> stacked.session(learn="on").read(text).updates
        140
        """
        text, out = to_json(cms, "cms") if cms is not None else b"", ctypes.c_void_p()
        with Run(progress, cancel) as run:
            check(lib.nested_model_stack(
                self._handle, text or None, len(text), pretrained, seed & (2**64 - 1), run.pointer,
                ctypes.byref(out)))
            return self._from(out, self)

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
                f"{info.n_levels} levels, " + (
                    f"vocabulary {info.vocab}" if info.vocab else f"{info.n_inputs} inputs") + (
                    "" if info.task == _library.NESTED_TASK_LM else f", {info.n_outputs} outputs"))
