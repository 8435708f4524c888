"""Training: outer optimisation of the weights."""

from __future__ import annotations

import ctypes
import json
import os
from dataclasses import dataclass
from typing import Any, Callable

import numpy as np
from numpy.typing import NDArray

from . import _library
from ._arrays import Tokens, pointer, rows_array, stream_array
from ._config import blob_bytes, to_json
from ._errors import check
from ._handle import Handle
from ._library import lib
from ._model import Batch, Evaluation, Model, PathLike
from ._run import Cancel, ProgressCallback, Run

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
    learning_rate: float


@dataclass(frozen=True)
class Fit:
    """Several optimizer steps."""

    steps: int
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
        ``nested.trainer_schema()`` lists all.  Unknown ones are errors.

    Examples
    --------
    >>> trainer = nested.Trainer(model, lr=3e-3)
    >>> trainer.fit(text, steps=300, batch=8, length=256)
    Fit(steps=300, skipped=0, ...)
    """

    _release = "nested_trainer_release"

    def __init__(self, model: Model, **options: Any) -> None:
        text = to_json(options, "options")
        out = ctypes.c_void_p()
        check(lib.nested_trainer_create(model._handle, text, len(text), ctypes.byref(out)))
        self._adopt(out, model._keep)
        self._model = model
        self._hook: Any = None

    @property
    def model(self) -> Model:
        return self._model

    @property
    def options(self) -> dict[str, Any]:
        """The options in force, every key present."""
        out = ctypes.c_void_p()
        check(lib.nested_trainer_get_options(self._handle, ctypes.byref(out)))
        return dict(json.loads(blob_bytes(out)))

    # Steps

    def step(
        self, tokens: Tokens, *, targets: Tokens | None = None, weights: Any = None,
        progress: ProgressCallback | None = None, cancel: Cancel | None = None,
    ) -> Step:
        """Forward, backward, clip, update on one batch.

        Parameters
        ----------
        tokens : [B, T] integers, or [T]
            Each row is read as a fresh stream.
        targets : [B, T] integers, optional
            By default the next token of the row; ``nested.IGNORE`` adds no loss.
        weights : [B, T] floats, optional
            Weight of the loss at each position, 0 or more; by default all are 1.

        Notes
        -----
        With the option ``accumulate`` at k, the first k - 1 of every k calls only collect.  A
        gradient that is not finite changes nothing and says so in ``skipped``.  When the call
        fails or is interrupted, weights and optimizer are as before.
        """
        record = _library.nested_step()
        with Batch(rows_array(tokens), targets, weights) as batch, Run(progress, cancel) as run:
            check(lib.nested_trainer_step(
                self._handle, batch.pointer, run.pointer, ctypes.byref(record)))
        return _step(record)

    def fit(
        self, tokens: Tokens, steps: int, batch: int, length: int,
        progress: ProgressCallback | None = None, cancel: Cancel | None = None,
    ) -> Fit:
        """Makes `steps` optimizer steps on random windows of a text.

        Parameters
        ----------
        tokens : [n] integers or bytes
        steps : int
        batch : int
            Windows of one batch.
        length : int
            Predictions of one window.
        progress : callable, optional
            Called with a `Progress` a few times a second.

        Notes
        -----
        An interrupted call keeps the steps it has made.  Windows depend on the trainer's seed and
        step count only.
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
        self, tokens: Tokens, *, targets: Tokens | None = None, weights: Any = None,
        progress: ProgressCallback | None = None, cancel: Cancel | None = None,
    ) -> Evaluation:
        """Adds the gradient of one batch and returns the batch's loss; see `step`."""
        record = _library.nested_eval()
        with Batch(rows_array(tokens), targets, weights) as batch, Run(progress, cancel) as run:
            check(lib.nested_trainer_accumulate(
                self._handle, batch.pointer, run.pointer, ctypes.byref(record)))
        return Evaluation(record.loss, record.perplexity, record.n_targets)

    def apply(
        self, *, progress: ProgressCallback | None = None, cancel: Cancel | None = None,
    ) -> Step:
        """One update with the gradients accumulated so far, which are used up."""
        record = _library.nested_step()
        with Run(progress, cancel) as run:
            check(lib.nested_trainer_apply(self._handle, run.pointer, ctypes.byref(record)))
        return _step(record)

    def zero(self) -> None:
        """Drops the accumulated gradients."""
        check(lib.nested_trainer_zero(self._handle))

    def gradients(self) -> dict[str, NDArray[np.float32]]:
        """Name → gradient of the mean loss over all targets accumulated so far (copies)."""
        total, count = self._gradient()
        mean = total / np.float32(count or 1)
        infos = (self._model.tensors.info(name) for name in self._model.tensors)
        return {info.name: mean[info.flat_offset:][:int(np.prod(info.shape))].reshape(info.shape)
                for info in infos}

    def _gradient(self) -> tuple[NDArray[np.float32], float]:
        """A copy of the flat gradient, summed over its targets, and their number."""
        data, size = ctypes.c_void_p(), ctypes.c_size_t()
        count = ctypes.POINTER(ctypes.c_double)()
        check(lib.nested_trainer_gradient(
            self._handle, ctypes.byref(data), ctypes.byref(size), ctypes.byref(count)))
        buffer = (ctypes.c_float * size.value).from_address(data.value or 0)
        return np.ctypeslib.as_array(buffer).copy(), count[0]

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
        bucket : int
            Elements per call, 0 for 1 Mi.
        """
        trampoline = _library.nested_allreduce_fn(_allreduce_trampoline(hook) if hook else 0)
        check(lib.nested_trainer_set_allreduce(self._handle, trampoline, None, bucket))
        self._hook = trampoline  # alive until the trainer is released or the hook replaced

    def set_learning_rate(self, rate: float | None) -> None:
        """Overrides the schedule; None returns to it."""
        check(lib.nested_trainer_set_lr(self._handle, -1.0 if rate is None else rate))

    # Files

    def save(
        self, path: PathLike, *, sync: bool = True, progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
    ) -> None:
        """Writes everything but the weights; with `Model.save` training resumes bit for bit."""
        with Run(progress, cancel) as run:
            check(lib.nested_trainer_save(
                self._handle, os.fsencode(path), 0 if sync else _library.NESTED_SAVE_NO_SYNC,
                run.pointer))

    def load(
        self, path: PathLike, *, progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
    ) -> None:
        """Takes over what `save` wrote, options included."""
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
    """JSON Schema of the trainer's options, with defaults and help."""
    return dict(json.loads(lib.nested_trainer_schema()))
