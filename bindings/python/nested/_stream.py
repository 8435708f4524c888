"""Reading a stream: feeding, surprise, scores."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _library
from ._arrays import Tokens, pointer, stream_array, stream_vectors, view
from ._errors import ArgumentError, check
from ._handle import Handle
from ._library import lib
from ._model import Model
from ._run import Cancel, ProgressCallback, Run, run_for

if TYPE_CHECKING:
    from ._session import Session

__all__ = ["Feed", "feed_many"]


@dataclass(frozen=True)
class Feed:
    """What reading some tokens came to."""

    consumed: int
    """Tokens read."""
    loss: float
    """Mean surprise in nats of the tokens that had a prediction before them, NaN when none had."""
    updates: int
    """Online updates of levels."""


class Stream(Handle):
    """How a `Session` reads."""

    _model: Model

    def _info(self) -> Any:
        record = _library.nested_session_info()
        check(lib.nested_session_get_info(self._handle, ctypes.byref(record)))
        return record

    @property
    def n_outputs(self) -> int:
        """Numbers of an answer, M: as the model's, and growing with labels it had not seen."""
        shape = self._model._shape
        if shape.task == _library.NESTED_TASK_LM:
            return int(shape.vocab)
        return int(self._info().n_outputs)

    def feed(
        self, tokens: Tokens | None = None, *, inputs: ArrayLike | None = None,
        progress: ProgressCallback | None = None, cancel: Cancel | None = None,
    ) -> NDArray[np.float32]:
        """Reads tokens or vectors and returns the outputs after each.

        Parameters
        ----------
        tokens : [n] integers or bytes, optional
            Token ids; none are allowed.
        inputs : [n, N] floats, optional
            Vectors, for models that read these instead.
        progress : callable, optional
            Called with a `Progress` a few times a second; returning True stops the call.
        cancel : Cancel, optional
            A flag by which another thread may stop the call.

        Returns
        -------
        float32 array [n, V], or [n, M]
            Of tokens row i predicts token i + 1.

        Raises
        ------
        ArgumentError
            An id is outside the vocabulary; nothing was read.
        Cancelled
            `cancel` was raised or `progress` returned True.

        Notes
        -----
        An interrupted call has read a part of the tokens: see `position`.

        Examples
        --------
        >>> session = model.session()
        >>> session.feed(b"to be or not").shape
        (12, 256)
        >>> chr(session.output.argmax())
        ' '
        """
        array = _stream(tokens, inputs)
        result = np.empty((len(array), self.n_outputs), np.float32)
        self._feed(array, inputs is not None, ctypes.byref(view(result)), progress, cancel)
        return result

    def read(
        self, tokens: Tokens | None = None, *, inputs: ArrayLike | None = None,
        progress: ProgressCallback | None = None, cancel: Cancel | None = None,
    ) -> Feed:
        """Like `feed`, without the outputs: how surprising the tokens were.

        Parameters
        ----------
        tokens : [n] integers or bytes, optional
            Token ids; none are allowed.
        inputs : [n, N] floats, optional
            Vectors, for models that read these instead.  They teach nothing, and count on the
            clock of the levels; `Session.teach` learns.
        progress : callable, optional
            Called with a `Progress` a few times a second; returning True stops the call.
        cancel : Cancel, optional
            A flag by which another thread may stop the call.

        Returns
        -------
        Feed
            Tokens read, mean surprise, updates of levels.

        Raises
        ------
        ArgumentError
            An id is outside the vocabulary; nothing was read.
        Cancelled
            `cancel` was raised or `progress` returned True; see `position`.
        """
        return self._feed(_stream(tokens, inputs), inputs is not None, None, progress, cancel)

    def _feed(
        self, array: NDArray[Any], vectors: bool, outputs: Any, progress: ProgressCallback | None,
        cancel: Cancel | None,
    ) -> Feed:
        record = _library.nested_feed()
        if len(array) == 0:
            return Feed(0, float("nan"), 0)
        with run_for(len(array), progress, cancel) as run:
            if vectors:
                seen = view(array, _library.nested_cview)
                check(lib.nested_session_feed_vectors(
                    self._handle, ctypes.byref(seen), run.pointer, outputs, ctypes.byref(record)))
            else:
                check(lib.nested_session_feed(
                    self._handle, pointer(array), array.size, run.pointer, outputs,
                    ctypes.byref(record)))
        return Feed(record.n_consumed, record.loss, record.n_updates)

    @property
    def output(self) -> NDArray[np.float32]:
        """Outputs after the last token, float32 [V] or [M]; `StateError` before the first."""
        size = ctypes.c_size_t()
        result = np.empty(self.n_outputs, np.float32)
        check(lib.nested_session_output(
            self._handle, pointer(result), result.size, ctypes.byref(size)))
        return result

    def score(
        self, tokens: Tokens, *, progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
    ) -> NDArray[np.float32]:
        """Natural log-probability of each token given the stream; the session does not move.

        Parameters
        ----------
        tokens : [n] integers or bytes
            Token ids; none are allowed.
        progress : callable, optional
            Called with a `Progress` a few times a second; returning True stops the call.
        cancel : Cancel, optional
            A flag by which another thread may stop the call.

        Returns
        -------
        float32 array [n]
            In nats; NaN for the very first token of a stream, for which there is no prediction.

        Raises
        ------
        ArgumentError
            An id is outside the vocabulary.
        Cancelled
            `cancel` was raised or `progress` returned True.

        Examples
        --------
        >>> session = model.session()
        >>> _ = session.read(b"to be or not to ")
        >>> likely, unlikely = session.score(b"b")[0], session.score(b"z")[0]
        >>> bool(likely > unlikely), session.position
        (True, 16)
        """
        array = stream_array(tokens)
        result = np.empty(array.size, np.float32)
        if array.size:
            with run_for(array.size, progress, cancel) as run:
                check(lib.nested_session_score(
                    self._handle, pointer(array), array.size, run.pointer, pointer(result),
                    None))
        return result

def _stream(tokens: Tokens | None, inputs: ArrayLike | None) -> NDArray[Any]:
    if tokens is not None and inputs is None:
        return stream_array(tokens)
    if inputs is not None and tokens is None:
        return stream_vectors(inputs)
    raise ArgumentError("a stream is of tokens or of inputs", place="inputs")


def feed_many(sessions: Sequence[Session], tokens: Tokens) -> NDArray[np.float32]:
    """Feeds one token to each of many sessions of one model as a batch.

    Parameters
    ----------
    sessions : sequence of distinct Session
        At least one.
    tokens : [count] integers
        One for each session.

    Returns
    -------
    float32 array [count, V]
        Logits; equal, bit for bit, to feeding each session alone.

    Raises
    ------
    ArgumentError
        A session is there twice, or the numbers of sessions and tokens differ.
    MismatchError
        The sessions are not of one model.

    Examples
    --------
    >>> sessions = [model.session(seed=i) for i in range(3)]
    >>> nested.feed_many(sessions, b"abc").shape
    (3, 256)
    """
    array = stream_array(tokens)
    if array.size != len(sessions) or not sessions:
        raise ArgumentError(
            f"{len(sessions)} sessions need as many tokens, got {array.size}",
            code=_library.NESTED_E_SHAPE, place="tokens")
    handles = (ctypes.c_void_p * array.size)(*(s._handle.value for s in sessions))
    result = np.empty((array.size, sessions[0].model._shape.vocab), np.float32)
    with Run() as run:
        check(lib.nested_sessions_feed(
            handles, array.size, pointer(array), run.pointer, ctypes.byref(view(result)), None))
    return result
