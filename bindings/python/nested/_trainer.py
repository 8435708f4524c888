"""Training: outer optimisation of the weights."""

from __future__ import annotations

import ctypes
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _library
from ._arrays import Tokens, float_array, pointer, stream_array
from ._config import blob_bytes, to_json
from ._errors import ArgumentError, check
from ._handle import Handle
from ._library import lib
from ._batch import Batch, Evaluation
from ._model import Model
from ._model_files import PathLike
from ._options import TrainerOptions
from ._run import Cancel, ProgressCallback, Run

if TYPE_CHECKING:
    from typing_extensions import Unpack  # every type checker brings it

__all__ = ["Fit", "Step", "Trainer", "trainer_schema"]

_SKIPS = {_library.NESTED_SKIP_NONE: None, _library.NESTED_SKIP_NO_TARGETS: "no targets",
          _library.NESTED_SKIP_NONFINITE: "gradient is not finite"}


@dataclass(frozen=True)
class Step:
    """One optimizer step."""

    applied: bool
    """False when the update was skipped, or when the call only collected (`accumulate`)."""
    skipped: str | None
    """Why the update was not applied: ``"no targets"``, ``"gradient is not finite"`` or None."""
    step: int
    """Optimizer steps so far."""
    targets: float
    """Behind this step, over all workers."""
    loss: float
    """Mean over this worker's, in nats."""
    gradient_norm: float
    """Of the mean gradient, before clipping."""
    update_norm: float
    """Of the change of the weights."""
    learning_rate: float
    """The schedule's value for this step."""


@dataclass(frozen=True)
class Fit:
    """Several optimizer steps."""

    steps: int
    """Made by this call."""
    skipped: int
    """Of these, steps whose update was not applied."""
    mean_loss: float
    """Over the steps of this call, NaN when there were none."""
    last_loss: float
    """Of the last step."""


class Trainer(Handle):
    """Optimizer and gradients of one model; a model has at most one trainer at a time.

    Parameters
    ----------
    model : Model
        Its weights change with every step.
    **options
        For example ``optimizer="adamw"`` (or ``"muon"``, ``"m3"``, ``"sgd"``, …), ``lr=3e-3``,
        ``weight_decay=0.1``, ``clip=1.0``, ``accumulate=1``, ``seed=0``,
        ``schedule={"type": "cosine", "warmup": 100, "total": 1000, "floor": 0.1}``;
        `trainer_schema` lists all.  Unknown ones are errors.

    Raises
    ------
    ConfigError
        An option is unknown or out of range; ``place`` is its JSON pointer.
    StateError
        The model has a trainer already (``NESTED_E_EXISTS``).

    Notes
    -----
    A CMS level steps when it has seen its `chunk` of targets, all other parameters at each step
    (arXiv 2512.24695, equation 71).  A trainer cannot be pickled: `save` and `load` continue it
    bit for bit.

    Examples
    --------
    >>> trainer = nested.Trainer(model, lr=1e-2, schedule={"type": "constant"})
    >>> fit = trainer.fit(text, steps=5, batch=4, length=32)
    >>> fit.steps, fit.skipped
    (5, 0)
    >>> trainer
    <nested.Trainer adamw, lr 0.01, schedule 'constant', accumulate 1>
    """

    _release = "nested_trainer_release"
    _instead = ": use Trainer.save and Trainer.load"

    def __init__(self, model: Model, **options: Unpack[TrainerOptions]) -> None:
        text = to_json(options, "options")
        out = ctypes.c_void_p()
        check(lib.nested_trainer_create(model._handle, text, len(text), ctypes.byref(out)))
        self._adopt(out, model._keep)
        self._model = model
        self._hook: Any = None

    @property
    def model(self) -> Model:
        """The model that it trains."""
        return self._model

    @property
    def options(self) -> dict[str, Any]:
        """The options in force, every key present."""
        out = ctypes.c_void_p()
        check(lib.nested_trainer_get_options(self._handle, ctypes.byref(out)))
        return dict(json.loads(blob_bytes(out)))

    def _describe(self) -> str:
        options = self.options
        return (f"{options['optimizer']}, lr {options['lr']:g}, "
                f"schedule {options['schedule']['type']!r}, accumulate {options['accumulate']}")

    def _batch(self, *arrays: Any) -> Batch:
        return Batch(self._model._shape, *arrays)

    # Steps

    def step(
        self, tokens: Tokens | None = None, *, inputs: ArrayLike | None = None,
        targets: Tokens | None = None, labels: ArrayLike | None = None,
        weights: ArrayLike | None = None, progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
    ) -> Step:
        """Forward, backward, clip, update on one batch.

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
        Step
            Whether it was applied, loss, norms.

        Raises
        ------
        ArgumentError
            An id is outside the vocabulary, or shapes do not match.
        Cancelled
            `cancel` was raised or `progress` returned True.

        Notes
        -----
        With the option ``accumulate`` at k, the first k - 1 of every k calls only collect.  A
        gradient that is not finite changes nothing and says so in ``skipped``.  When the call
        fails or is interrupted, weights and optimizer are as before.

        Examples
        --------
        >>> trainer = nested.Trainer(model)
        >>> step = trainer.step([b"to be or not", b"that is the "])
        >>> step.applied, step.step, step.targets
        (True, 1, 22.0)
        """
        record = _library.nested_step()
        with self._batch(tokens, inputs, targets, labels, weights) as batch, Run(
                progress, cancel) as run:
            check(lib.nested_trainer_step(
                self._handle, batch.pointer, run.pointer, ctypes.byref(record)))
        return _step(record)

    def fit(
        self, tokens: Tokens, steps: int, batch: int, length: int,
        progress: ProgressCallback | None = None, cancel: Cancel | None = None,
    ) -> Fit:
        """Makes optimizer steps on random windows of a text.

        Parameters
        ----------
        tokens : [n] integers or bytes
            At least `length` + 1 of them.
        steps : int
            Optimizer steps.
        batch : int
            Windows of one batch.
        length : int
            Predictions of one window.
        progress : callable, optional
            Called with a `Progress` a few times a second; returning True stops the call.
        cancel : Cancel, optional
            A flag by which another thread may stop the call.

        Returns
        -------
        Fit
            Steps made, losses.

        Raises
        ------
        ArgumentError
            The text is too short, or an id is outside the vocabulary.
        StateError
            Gradients are collected: `apply` them, or `zero`.
        Cancelled
            `cancel` was raised or `progress` returned True.

        Notes
        -----
        An interrupted call keeps the steps it has made.  Windows depend on the trainer's seed and
        on how many it has drawn only.
        """
        array = stream_array(tokens)
        record = _library.nested_fit()
        with Run(progress, cancel) as run:
            check(lib.nested_trainer_fit(
                self._handle, pointer(array), array.size, steps, batch, length, run.pointer,
                ctypes.byref(record)))
        return Fit(record.n_steps, record.n_skipped, record.mean_loss, record.last_loss)

    # Steps in pieces

    def accumulate(
        self, tokens: Tokens | None = None, *, inputs: ArrayLike | None = None,
        targets: Tokens | None = None, labels: ArrayLike | None = None,
        weights: ArrayLike | None = None, progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
    ) -> Evaluation:
        """Adds the gradient of one batch to what `apply` will use.

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
            Loss of this batch.

        Raises
        ------
        ArgumentError
            An id is outside the vocabulary, or shapes do not match.
        Cancelled
            `cancel` was raised or `progress` returned True; the gradient is as before.
        """
        record = _library.nested_eval()
        with self._batch(tokens, inputs, targets, labels, weights) as batch, Run(
                progress, cancel) as run:
            check(lib.nested_trainer_accumulate(
                self._handle, batch.pointer, run.pointer, ctypes.byref(record)))
        return Evaluation._of(record)

    def apply(
        self, *, progress: ProgressCallback | None = None, cancel: Cancel | None = None,
    ) -> Step:
        """One update with the gradients accumulated so far, which are used up.

        Parameters
        ----------
        progress : callable, optional
            Called with a `Progress` a few times a second; returning True stops the call.
        cancel : Cancel, optional
            A flag by which another thread may stop the call.

        Returns
        -------
        Step
            ``skipped`` is ``"no targets"`` when nothing was accumulated.

        Examples
        --------
        >>> trainer = nested.Trainer(model)
        >>> for piece in (b"to be or not", b"that is the "):
        ...     _ = trainer.accumulate(piece)
        >>> trainer.apply().targets
        22.0
        """
        record = _library.nested_step()
        with Run(progress, cancel) as run:
            check(lib.nested_trainer_apply(self._handle, run.pointer, ctypes.byref(record)))
        return _step(record)

    def zero(self) -> None:
        """Drops the accumulated gradients."""
        check(lib.nested_trainer_zero(self._handle))

    def gradients(self) -> dict[str, NDArray[np.float32]]:
        """Gradient of the mean loss over all targets accumulated so far, by tensor.

        Returns
        -------
        {name: float32 array}
            Copies, shaped as the tensors.
        """
        total, targets = self.flat_gradient()
        mean = total / np.float32(targets or 1)
        infos = (self._model.tensors.info(name) for name in self._model.tensors)
        return {info.name: mean[info.flat_offset:][:int(np.prod(info.shape))].reshape(info.shape)
                for info in infos}

    def flat_gradient(self) -> tuple[NDArray[np.float32], float]:
        """What was accumulated so far, as workers exchange it.

        Returns
        -------
        gradient : float32 array [size]
            A copy, summed (not averaged) over the targets, by `TensorInfo.flat_offset`.
        targets : float
            Targets behind it, by their weights.
        """
        data, targets = self._gradient()
        return data.copy(), float(targets[0])

    def set_flat_gradient(self, gradient: ArrayLike, targets: float) -> None:
        """Replaces what was accumulated, for example by the sum over several workers.

        Parameters
        ----------
        gradient : [size] floats
            As from `flat_gradient`.
        targets : float
            Targets behind it.

        Raises
        ------
        ArgumentError
            The shape is not [size], or these are no numbers.

        Notes
        -----
        Floating-point sums depend on their order: workers that add in the same order have
        weights of the same bits after `apply`.

        Examples
        --------
        >>> workers = [nested.Trainer(model.clone()) for _ in range(2)]
        >>> for worker, piece in zip(workers, (b"to be or not", b"that is the ")):
        ...     _ = worker.accumulate(piece)
        >>> gradients, targets = zip(*(worker.flat_gradient() for worker in workers))
        >>> for worker in workers:
        ...     worker.set_flat_gradient(sum(gradients), sum(targets))
        ...     print(worker.apply().targets)
        22.0
        22.0
        """
        array = float_array(gradient, "gradient")
        data, count = self._gradient()
        if array.shape != data.shape:
            raise ArgumentError(
                f"expected shape {list(data.shape)}, got {list(array.shape)}",
                code=_library.NESTED_E_SHAPE, place="gradient")
        data[:] = array
        count[0] = targets

    def _gradient(self) -> tuple[NDArray[np.float32], Any]:
        """The library's own gradient and count, until the next call on the trainer."""
        data, size = ctypes.c_void_p(), ctypes.c_size_t()
        count = ctypes.POINTER(ctypes.c_double)()
        check(lib.nested_trainer_gradient(
            self._handle, ctypes.byref(data), ctypes.byref(size), ctypes.byref(count)))
        buffer = (ctypes.c_float * size.value).from_address(data.value or 0)
        return np.ctypeslib.as_array(buffer), count

    def set_allreduce(
        self, hook: Callable[[NDArray[Any]], Any] | None, bucket: int = 0,
    ) -> None:
        """Sums gradients over several processes that train together.

        Parameters
        ----------
        hook : callable or None
            Called within `step`, `apply` and `fit` with an array, float32 for the gradients and
            float64 for the number of targets, to replace its contents by the sum over all
            workers, for example
            ``lambda a: communicator.Allreduce(MPI.IN_PLACE, a)``.  None removes it.
        bucket : int, default 0
            Elements per call, 0 for 1 Mi.

        Notes
        -----
        What `hook` raises comes out of the call that it was called in, and nothing is applied.
        """
        trampoline = _library.nested_allreduce_fn(_allreduce_trampoline(hook) if hook else 0)
        check(lib.nested_trainer_set_allreduce(self._handle, trampoline, None, bucket))
        self._hook = trampoline  # alive until the trainer is released or the hook replaced

    def set_learning_rate(self, rate: float | None) -> None:
        """Overrides the schedule.

        Parameters
        ----------
        rate : float or None
            None returns to the schedule.

        Raises
        ------
        NumericError
            `rate` is not finite.
        """
        check(lib.nested_trainer_set_lr(self._handle, -1.0 if rate is None else rate))

    # Files

    def save(
        self, path: PathLike, *, sync: bool = True, progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
    ) -> None:
        """Writes everything but the weights; with `Model.save` training resumes bit for bit.

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
        >>> trainer = nested.Trainer(model, lr=1e-3)
        >>> trainer.save("trainer.safetensors")
        >>> twin = nested.Trainer(model.clone())
        >>> twin.load("trainer.safetensors")
        >>> twin.options["lr"]
        0.001
        """
        with Run(progress, cancel) as run:
            check(lib.nested_trainer_save(
                self._handle, os.fsencode(path), 0 if sync else _library.NESTED_SAVE_NO_SYNC,
                run.pointer))

    def load(
        self, path: PathLike, *, progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
    ) -> None:
        """Takes over what `save` wrote, options included.

        Parameters
        ----------
        path : path
            Of a file that `save` wrote.
        progress : callable, optional
            Called with a `Progress` a few times a second; returning True stops the call.
        cancel : Cancel, optional
            A flag by which another thread may stop the call.

        Raises
        ------
        FileError
            The file is missing, truncated, foreign or damaged.
        MismatchError
            It belongs to another architecture.
        """
        with Run(progress, cancel) as run:
            check(lib.nested_trainer_load(self._handle, os.fsencode(path), run.pointer))


def _step(record: Any) -> Step:
    return Step(
        bool(record.applied), _SKIPS.get(record.skip_reason, str(record.skip_reason)),
        record.step, record.n_targets, record.loss, record.grad_norm, record.update_norm,
        record.lr)


def _allreduce_trampoline(hook: Callable[[NDArray[Any]], Any]) -> Callable[..., int]:
    types = {_library.NESTED_F32: ctypes.c_float, _library.NESTED_F64: ctypes.c_double}

    def called(user: Any, data: int, count: int, dtype: int) -> int:
        try:
            hook(np.ctypeslib.as_array((types[dtype] * count).from_address(data)))
        except BaseException as failure:
            Run.current().fail(failure)
            return -1
        return 0
    return called


def trainer_schema() -> dict[str, Any]:
    """JSON Schema of the trainer's options, with defaults, ranges and help.

    Returns
    -------
    dict
        As of the draft 2020-12.

    Examples
    --------
    >>> nested.trainer_schema()["properties"]["optimizer"]["default"]
    'adamw'
    """
    return dict(json.loads(lib.nested_trainer_schema()))
