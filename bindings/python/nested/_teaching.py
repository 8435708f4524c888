"""Teaching a session what belongs to what, and asking it."""

from __future__ import annotations

import ctypes

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _library
from ._arrays import Tokens, view
from ._batch import Batch, Evaluation
from ._errors import ArgumentError, check
from ._library import lib
from ._run import Cancel, ProgressCallback, run_for
from ._stream import Stream


class Teaching(Stream):
    """How a `Session` learns labelled rows."""

    def teach(
        self, tokens: Tokens | None = None, *, labels: ArrayLike, inputs: ArrayLike | None = None,
        weights: ArrayLike | None = None, progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
    ) -> Evaluation:
        """Learns labelled rows, one after another, whatever the session's mode.

        Parameters
        ----------
        tokens : [B, T] integers, or [T], optional
            Token ids, for models that read tokens.
        labels : [B] or [B, T] integers; task "regress": [B, M] or [B, T, M] floats
            Of each row, or of each position; ``nested.IGNORE`` (NaN) is not known.  A new label
            adds a row of zeros to the head.
        inputs : [B, N] or [B, T, N] floats, or [N], optional
            Vectors, for models that read these.
        weights : shape of the labels without M, optional
            Weight of the loss at each of them, 0 or more; by default all are 1.
        progress : callable, optional
            Called with a `Progress` a few times a second; returning True stops the call.
        cancel : Cancel, optional
            A flag by which another thread may stop the call.

        Returns
        -------
        Evaluation
            Of each row before it was learnt from: what it was like in use.

        Raises
        ------
        ArgumentError
            Shapes do not match, or a label is out of range.
        UnsupportedError
            The task is "lm": reading teaches, see `read`.
        Cancelled
            `cancel` was raised or `progress` returned True; the rows before that are learnt.

        Notes
        -----
        Each row is a fresh sequence through the session's levels, of which the head is one.  The
        clock advances by its length, and the levels whose period ends step.

        Examples
        --------
        >>> model = nested.Model({"kind": "cms", "task": "classify", "inputs": 2, "classes": 2,
        ...                       "d_model": 16, "cms": {"levels": [{"chunk": 4}]}})
        >>> session = model.session()
        >>> points = np.random.default_rng(0).normal(size=(200, 2))
        >>> first = session.teach(inputs=points, labels=points[:, 0] > 0)
        >>> again = session.teach(inputs=points, labels=points[:, 0] > 0)
        >>> again.accuracy > 0.9, again.loss < first.loss
        (True, True)
        """
        record = _library.nested_eval()
        with Batch(self._model._shape, tokens, inputs, None, labels, weights) as batch, run_for(
                batch.rows * batch.length, progress, cancel) as run:
            check(lib.nested_session_teach(
                self._handle, batch.pointer, run.pointer, ctypes.byref(record)))
        return Evaluation._of(record)

    def predict(
        self, tokens: Tokens | None = None, *, inputs: ArrayLike | None = None,
        progress: ProgressCallback | None = None, cancel: Cancel | None = None,
    ) -> NDArray[np.float32]:
        """Answers for rows, each a fresh sequence; the session stays as it is.

        Parameters
        ----------
        tokens : [B, T] integers, or [T], optional
            Token ids, for models that read tokens.
        inputs : [B, N] or [B, T, N] floats, or [N], optional
            Vectors, for models that read these.
        progress : callable, optional
            Called with a `Progress` a few times a second; returning True stops the call.
        cancel : Cancel, optional
            A flag by which another thread may stop the call.

        Returns
        -------
        float32 array [B, M], or [M] for one row given as [T] or [N]
            Logits of the classes seen so far, or the numbers of task "regress".

        Raises
        ------
        UnsupportedError
            The task is "lm": see `output`, `score` and `Model.forward`.
        ArgumentError
            An id is outside the vocabulary, or the vectors are of another length.
        Cancelled
            `cancel` was raised or `progress` returned True.

        Examples
        --------
        >>> model = nested.Model({"kind": "cms", "task": "classify", "inputs": 2, "classes": 2})
        >>> model.session().predict(inputs=[[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]).shape
        (3, 2)
        """
        with Batch(self._model._shape, tokens, inputs) as batch, run_for(
                batch.rows * batch.length, progress, cancel) as run:
            while True:
                outputs = self.n_outputs
                array, result = batch.result(self._model._shape, outputs)
                try:
                    check(lib.nested_session_predict(
                        self._handle, batch.pointer, run.pointer, ctypes.byref(view(array))))
                    return result
                except ArgumentError:  # of another size, where a thread has taught a new label
                    if outputs == self.n_outputs:
                        raise
