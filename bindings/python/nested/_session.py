"""Sessions: streams that remember, and learn while they read."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable

import numpy as np
from numpy.typing import NDArray

from . import _library
from ._arrays import Tokens, pointer, stream_array, tokens_array, view
from ._config import blob_bytes
from ._errors import ArgumentError, check
from ._handle import Handle
from ._library import lib
from ._model import Model, PathLike
from ._run import Cancel, ProgressCallback, Run, run_for

__all__ = ["Feed", "Level", "Session", "Snapshot", "feed_many"]

_LEARN = {"memory": _library.NESTED_LEARN_MEMORY, "off": _library.NESTED_LEARN_OFF,
          "on": _library.NESTED_LEARN_ON}
_LEARN_NAMES = {number: name for name, number in _LEARN.items()}
_FINISH = {_library.NESTED_FINISH_LENGTH: "length", _library.NESTED_FINISH_STOP: "stop",
           _library.NESTED_FINISH_CALLBACK: "callback"}


@dataclass(frozen=True)
class Feed:
    """What reading some tokens came to."""

    consumed: int
    loss: float
    """Mean surprise in nats of the tokens that had a prediction before them, NaN when none had."""
    updates: int
    """Online updates of levels."""


@dataclass(frozen=True)
class Level:
    """State of one CMS level of one layer."""

    layer: int
    level: int
    """0 is the fastest."""
    chunk: int
    """It updates once per so many tokens; 0 = never."""
    frozen: bool
    last_update: int | None
    """Position in the stream, None before the first."""
    next_update: int | None
    updates: int
    skipped: int
    """Updates dropped because they were not finite."""
    parameters: int
    learning_rate: float
    weight_norm: float
    delta_norm: float
    """Distance from the model's weights: what the session has learnt."""
    last_gradient_norm: float
    last_update_norm: float
    pending_norm: float
    """Of the gradient collected since the last update."""


class Snapshot(Handle):
    """A frozen copy of a session's state, from `Session.snapshot`."""

    _release = "nested_snapshot_release"

    @classmethod
    def _from(cls, handle: ctypes.c_void_p, keep: Any) -> Snapshot:
        snapshot = cls.__new__(cls)
        snapshot._adopt(handle, keep)
        return snapshot

    @classmethod
    def from_bytes(cls, model: Model, data: bytes) -> Snapshot:
        """Reads what `to_bytes` or `Session.save` wrote, for a model of the same architecture."""
        out = ctypes.c_void_p()
        buffer = np.frombuffer(data, np.uint8)
        check(lib.nested_snapshot_from_bytes(
            model._handle, pointer(buffer), buffer.size, ctypes.byref(out)))
        return cls._from(out, model._keep)

    def to_bytes(self) -> bytes:
        """The bytes that `Session.save` would write."""
        out = ctypes.c_void_p()
        check(lib.nested_snapshot_to_blob(self._handle, ctypes.byref(out)))
        return blob_bytes(out)


class Session(Handle):
    """One stream of a model, opened by `Model.session`.

    The session reads tokens and predicts the next one.  It writes its memories as it reads, and
    with ``learn="on"`` its CMS levels learn online, each at its own period; the model stays as it
    is.  Sessions of one model run in parallel threads.  How a stream is cut into calls does not
    matter: ``feed(a); feed(b)`` equals ``feed(a + b)`` bit for bit.

    Examples
    --------
    >>> with model.session(learn="on") as session:
    ...     session.read(open("notes.txt", "rb").read())
    ...     bytes(session.generate(80, temperature=0.8).astype("uint8"))
    """

    _release = "nested_session_release"

    def __init__(self, model: Model, learn: str = "memory", seed: int = 0) -> None:
        options = _library.nested_session_options(learn=_mode(learn), seed=seed & (2**64 - 1))
        out = ctypes.c_void_p()
        check(lib.nested_session_create(
            model._handle, ctypes.byref(options), ctypes.byref(out)))
        self._own(out, model)

    def _own(self, handle: ctypes.c_void_p, model: Model) -> None:
        self._adopt(handle, model._keep)
        self._model = model
        self.finish: str | None = None
        """Why the last `generate` ended: ``"length"``, ``"stop"`` or ``"callback"``."""

    @classmethod
    def _from(cls, handle: ctypes.c_void_p, model: Model) -> Session:
        session = cls.__new__(cls)
        session._own(handle, model)
        return session

    @classmethod
    def _load(cls, model: Model, path: PathLike) -> Session:
        out = ctypes.c_void_p()
        with Run() as run:
            check(lib.nested_session_load(
                model._handle, os.fsencode(path), run.pointer, ctypes.byref(out)))
            return cls._from(out, model)

    # What it is

    def _info(self) -> Any:
        record = _library.nested_session_info()
        check(lib.nested_session_get_info(self._handle, ctypes.byref(record)))
        return record

    @property
    def model(self) -> Model:
        return self._model

    @property
    def learn(self) -> str:
        """``"off"``, ``"memory"`` or ``"on"``; assignable.

        Gradients count from the token at which learning was switched on; switching it off drops
        the pending ones.
        """
        return _LEARN_NAMES[self._info().learn]

    @learn.setter
    def learn(self, mode: str) -> None:
        check(lib.nested_session_set_learn(self._handle, _mode(mode)))

    @property
    def position(self) -> int:
        """Tokens consumed."""
        return int(self._info().position)

    @property
    def state_bytes(self) -> int:
        """Memory that is this session's own."""
        return int(self._info().state_bytes)

    @property
    def updates(self) -> int:
        """Online updates over all levels."""
        return int(self._info().n_updates)

    @property
    def skipped(self) -> int:
        """Updates dropped because they were not finite."""
        return int(self._info().n_skipped)

    # Reading

    def feed(
        self, tokens: Tokens, *, progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
    ) -> NDArray[np.float32]:
        """Reads tokens and returns the logits after each.

        Parameters
        ----------
        tokens : [n] integers or bytes

        Returns
        -------
        float32 array [n, V]

        Notes
        -----
        An interrupted call has read a part of the tokens: see `position`.
        """
        array = stream_array(tokens)
        result = np.empty((array.size, self._model.vocab), np.float32)
        self._feed(array, ctypes.byref(view(result)), progress, cancel)
        return result

    def read(
        self, tokens: Tokens, *, progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
    ) -> Feed:
        """Like `feed`, without the logits: how surprising the tokens were.

        Parameters
        ----------
        tokens : [n] integers or bytes
        """
        return self._feed(stream_array(tokens), None, progress, cancel)

    def _feed(
        self, array: NDArray[np.int32], logits: Any, progress: ProgressCallback | None,
        cancel: Cancel | None,
    ) -> Feed:
        record = _library.nested_feed()
        if array.size == 0:
            return Feed(0, float("nan"), 0)
        with run_for(array.size, progress, cancel) as run:
            check(lib.nested_session_feed(
                self._handle, pointer(array), array.size, run.pointer, logits,
                ctypes.byref(record)))
        return Feed(record.n_consumed, record.loss, record.n_updates)

    @property
    def output(self) -> NDArray[np.float32]:
        """Logits [V] after the last token."""
        size = ctypes.c_size_t()
        result = np.empty(self._model.vocab, np.float32)
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

        Returns
        -------
        float32 array [n]
            NaN for the very first token of a stream, for which there is no prediction.
        """
        array = stream_array(tokens)
        result = np.empty(array.size, np.float32)
        if array.size:
            with run_for(array.size, progress, cancel) as run:
                check(lib.nested_session_score(
                    self._handle, pointer(array), array.size, run.pointer, pointer(result),
                    None))
        return result

    def generate(
        self, n: int, *, temperature: float = 0.0, top_k: int = 0, top_p: float = 0.0,
        min_p: float = 0.0, repetition_penalty: float = 0.0, repetition_window: int = 0,
        stop: Iterable[int] = (), logit_bias: Mapping[int, float] | NDArray[Any] | None = None,
        on_token: Callable[[int, float], Any] | None = None,
        progress: ProgressCallback | None = None, cancel: Cancel | None = None,
    ) -> NDArray[np.int32]:
        """Samples up to `n` tokens and reads them.

        Parameters
        ----------
        n : int
        temperature : float
            0 takes the most likely token.
        top_k, top_p, min_p : float
            Restrict the choice; 0 is off.
        repetition_penalty : float
            0 or 1 is off.
        repetition_window : int
            Tokens that it looks back on; 0 means 64.
        stop : iterable of int
            Tokens that end the passage; the one met is the last of the result.
        logit_bias : {token: bias} or array [V], optional
        on_token : callable, optional
            Called with each token and its log-probability; returning True ends the passage.

        Returns
        -------
        int32 array, at most `n` long
            `finish` says why it ended.  The tokens depend on the session's seed and position only.
        """
        stops = tokens_array(list(stop)).reshape(-1)
        bias = self._bias(logit_bias)
        sampling = _library.nested_sampling(
            temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p,
            repetition_penalty=repetition_penalty, repetition_window=repetition_window,
            stop_tokens=pointer(stops) if stops.size else None, n_stop_tokens=stops.size,
            logit_bias=pointer(bias))
        if n < 0:
            raise ArgumentError("n is negative", code=_library.NESTED_E_RANGE, place="n")
        result = np.empty(n, np.int32)
        count, finish = ctypes.c_size_t(), ctypes.c_int32()
        with Run(progress, cancel) as run:
            def called(user: Any, event: Any) -> int:
                try:
                    assert on_token is not None
                    return int(on_token(event.contents.token, event.contents.logprob) is True)
                except BaseException as failure:
                    run.fail(failure)
                    return -1

            trampoline = _library.nested_token_fn(called if on_token else 0)
            check(lib.nested_session_generate(
                self._handle, ctypes.byref(sampling), n, trampoline, None, run.pointer,
                pointer(result) if n else None, ctypes.byref(count), ctypes.byref(finish)))
        self.finish = _FINISH.get(finish.value)
        return result[: count.value]

    def _bias(
        self, bias: Mapping[int, float] | NDArray[Any] | None,
    ) -> NDArray[np.float32] | None:
        if bias is None:
            return None
        vocab = self._model.vocab
        if isinstance(bias, Mapping):
            result = np.zeros(vocab, np.float32)
            for token, value in bias.items():
                if not 0 <= token < vocab:
                    raise ArgumentError(
                        f"token {token} is not in the vocabulary", code=_library.NESTED_E_RANGE,
                        place="logit_bias")
                result[token] = value
            return result
        result = np.ascontiguousarray(bias, np.float32)
        if result.shape != (vocab,):
            raise ArgumentError(
                f"expected shape [{vocab}], got {list(result.shape)}",
                code=_library.NESTED_E_SHAPE, place="logit_bias")
        return result

    # Copies, snapshots, files

    def fork(self) -> Session:
        """An independent copy, which goes on from here on its own."""
        out = ctypes.c_void_p()
        check(lib.nested_session_fork(self._handle, ctypes.byref(out)))
        return self._from(out, self._model)

    def snapshot(self) -> Snapshot:
        """A frozen copy of the state, for `restore`."""
        out = ctypes.c_void_p()
        check(lib.nested_session_snapshot(self._handle, ctypes.byref(out)))
        return Snapshot._from(out, self._keep)

    def restore(self, snapshot: Snapshot) -> None:
        """Puts the session into a snapshot's state, mode and seed included."""
        check(lib.nested_session_restore(self._handle, snapshot._handle))

    def reset(self) -> None:
        """Back to the state after opening."""
        check(lib.nested_session_reset(self._handle))

    def save(
        self, path: PathLike, *, sync: bool = True, progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
    ) -> None:
        """Writes the whole session, whole or not at all; `Model.restore` reads it."""
        with Run(progress, cancel) as run:
            check(lib.nested_session_save(
                self._handle, os.fsencode(path), 0 if sync else _library.NESTED_SAVE_NO_SYNC,
                run.pointer))

    # Levels

    @property
    def levels(self) -> list[Level]:
        """The CMS levels of all layers, layer by layer, the fastest first."""
        record = _library.nested_model_info()
        check(lib.nested_model_get_info(self._model._handle, ctypes.byref(record)))
        return [self.level(layer, level) for layer in range(record.n_layers)
                for level in range(record.n_levels)]

    def level(self, layer: int, level: int) -> Level:
        """One level of one layer."""
        r = _library.nested_level()
        check(lib.nested_session_level(self._handle, layer, level, ctypes.byref(r)))
        return Level(
            r.layer, r.level, r.chunk, bool(r.frozen),
            r.last_update if r.last_update >= 0 else None,
            r.next_update if r.next_update >= 0 else None, r.n_updates, r.n_skipped, r.n_params,
            r.lr, r.weight_norm, r.delta_norm, r.last_grad_norm, r.last_update_norm,
            r.pending_norm)

    def freeze(self, layer: int | None = None, level: int | None = None) -> None:
        """Stops levels from learning; None means all layers, or all levels."""
        self._control(layer, level, frozen=1)

    def thaw(self, layer: int | None = None, level: int | None = None) -> None:
        """Undoes `freeze`."""
        self._control(layer, level, frozen=-1)

    def scale_learning_rate(
        self, factor: float, layer: int | None = None, level: int | None = None,
    ) -> None:
        """Sets the factor on the configured learning rate of levels; more than 0."""
        if not factor > 0:
            raise ArgumentError(
                "factor must be more than 0 (freeze stops a level)",
                code=_library.NESTED_E_RANGE, place="factor")
        self._control(layer, level, lr_scale=factor)

    def _control(self, layer: int | None, level: int | None, **fields: Any) -> None:
        control = _library.nested_level_control(**fields)
        check(lib.nested_session_level_control(
            self._handle, _all(layer), _all(level), ctypes.byref(control)))

    def flush(self, layer: int | None = None, level: int | None = None) -> None:
        """Applies collected gradients now instead of at the end of the period."""
        check(lib.nested_session_level_flush(self._handle, _all(layer), _all(level)))

    def reset_levels(self, layer: int | None = None, level: int | None = None) -> None:
        """Returns levels to the model's weights: forgets what they have learnt."""
        check(lib.nested_session_level_reset(self._handle, _all(layer), _all(level)))

    def __repr__(self) -> str:
        if self.closed:
            return "<nested.Session, closed>"
        info = self._info()
        return (f"<nested.Session at {info.position:,}, learn={_LEARN_NAMES[info.learn]!r}, "
                f"{info.n_updates:,} updates>")


def _mode(learn: str) -> int:
    if learn not in _LEARN:
        raise ArgumentError(
            f'learn is "off", "memory" or "on", not {learn!r}', place="learn")
    return _LEARN[learn]


def _all(index: int | None) -> int:
    if index is not None and not 0 <= index < 2**31:
        raise ArgumentError(
            f"there is no layer or level {index}", code=_library.NESTED_E_RANGE, place="level")
    return -1 if index is None else index


def feed_many(sessions: Sequence[Session], tokens: Tokens) -> NDArray[np.float32]:
    """Feeds one token to each of many sessions of one model as a batch.

    Parameters
    ----------
    sessions : sequence of distinct Session
    tokens : [count] integers

    Returns
    -------
    float32 array [count, V]
        Equal, bit for bit, to feeding each session alone.
    """
    array = stream_array(tokens)
    if array.size != len(sessions) or not sessions:
        raise ArgumentError(
            f"{len(sessions)} sessions need as many tokens, got {array.size}",
            code=_library.NESTED_E_SHAPE, place="tokens")
    handles = (ctypes.c_void_p * array.size)(*(s._handle.value for s in sessions))
    result = np.empty((array.size, sessions[0].model.vocab), np.float32)
    with Run() as run:
        check(lib.nested_sessions_feed(
            handles, array.size, pointer(array), run.pointer, ctypes.byref(view(result)), None))
    return result
