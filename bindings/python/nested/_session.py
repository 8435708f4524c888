"""Sessions: streams that remember, and learn while they read."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable, Literal

import numpy as np
from numpy.typing import NDArray

from . import _library
from ._arrays import Buffer, Tokens, bytes_array, pointer, stream_array, tokens_array, view
from ._config import blob_bytes
from ._errors import ArgumentError, check
from ._handle import Handle
from ._library import lib
from ._model import LearnMode, Model, PathLike
from ._run import Cancel, ProgressCallback, Run, run_for

__all__ = ["Feed", "Level", "Session", "Snapshot", "feed_many"]

FinishReason = Literal["length", "stop", "callback"]

_LEARN_NAMES: dict[int, LearnMode] = {
    _library.NESTED_LEARN_MEMORY: "memory", _library.NESTED_LEARN_OFF: "off",
    _library.NESTED_LEARN_ON: "on"}
_LEARN = {name: number for number, name in _LEARN_NAMES.items()}
_FINISH: dict[int, FinishReason] = {
    _library.NESTED_FINISH_LENGTH: "length", _library.NESTED_FINISH_STOP: "stop",
    _library.NESTED_FINISH_CALLBACK: "callback"}


@dataclass(frozen=True)
class Feed:
    """What reading some tokens came to."""

    consumed: int
    """Tokens read."""
    loss: float
    """Mean surprise in nats of the tokens that had a prediction before them, NaN when none had."""
    updates: int
    """Online updates of levels."""


@dataclass(frozen=True)
class Level:
    """State of one CMS level of one layer (arXiv 2512.24695, equations 70 to 73)."""

    layer: int
    """Block, from 0."""
    level: int
    """0 is the fastest."""
    chunk: int
    """It updates once per so many tokens; 0 = never."""
    frozen: bool
    """Whether `Session.freeze` stopped it."""
    last_update: int | None
    """Position in the stream, None before the first."""
    next_update: int | None
    """Position in the stream, None when it never updates."""
    updates: int
    """So far."""
    skipped: int
    """Updates dropped because they were not finite."""
    parameters: int
    """Number of its weights."""
    learning_rate: float
    """Of the online updates, `Session.scale_learning_rate` included."""
    weight_norm: float
    """Of the online weights."""
    delta_norm: float
    """Distance from the model's weights: what the session has learnt."""
    last_gradient_norm: float
    """Of the last update, before clipping."""
    last_update_norm: float
    """Of the last change of the weights."""
    pending_norm: float
    """Of the gradient collected since the last update."""


class Snapshot(Handle):
    """A frozen copy of a session's state, from `Session.snapshot` or `Snapshot.from_bytes`.

    Notes
    -----
    It never changes, so `copy.copy` and `copy.deepcopy` share the state.  A pickled snapshot
    carries its model, as a pickled session does: see `Session`.

    Examples
    --------
    >>> session = model.session(learn="on")
    >>> before = session.snapshot()
    >>> _ = session.read(b"something that should not have been read")
    >>> session.restore(before)
    >>> session.position
    0
    """

    _release = "nested_snapshot_release"

    def _own(self, handle: ctypes.c_void_p, model: Model) -> Snapshot:
        self._adopt(handle, model._keep)
        self._model = model
        return self

    @property
    def model(self) -> Model:
        """The model of the session that it was taken of."""
        return self._model

    @classmethod
    def from_bytes(cls, model: Model, data: Buffer) -> Snapshot:
        """Reads what `to_bytes` or `Session.save` wrote.

        Parameters
        ----------
        model : Model
            Of the same configuration; for a delta, with the same weights.
        data : bytes
            Or anything else that is contiguous bytes; copied.

        Returns
        -------
        Snapshot

        Raises
        ------
        FileError
            The bytes are truncated, foreign or damaged.
        MismatchError
            They belong to another configuration (``place`` is ``"nested.fingerprint"``) or, for a
            delta, to other weights (``"nested.weights"``).
        """
        out, buffer = ctypes.c_void_p(), bytes_array(data)
        check(lib.nested_snapshot_from_bytes(
            model._handle, pointer(buffer), buffer.size, ctypes.byref(out)))
        return cls.__new__(cls)._own(out, model)

    def to_bytes(self, delta: bool = False) -> bytes:
        """The bytes that `Session.save` would write.

        Parameters
        ----------
        delta : bool, default False
            Only what the CMS levels have learnt; see `Session.save`.

        Returns
        -------
        bytes
            A safetensors file.
        """
        out = ctypes.c_void_p()
        write = lib.nested_snapshot_delta_to_blob if delta else lib.nested_snapshot_to_blob
        check(write(self._handle, ctypes.byref(out)))
        return blob_bytes(out)

    def __copy__(self) -> Snapshot:
        check(lib.nested_snapshot_retain(self._handle))
        return Snapshot.__new__(Snapshot)._own(self._handle, self._model)

    def __deepcopy__(self, memo: Any) -> Snapshot:
        return self.__copy__()

    def __reduce__(self) -> Any:
        return Snapshot.from_bytes, (self._model, self.to_bytes())

    def _describe(self) -> str:
        if self._model.closed:
            return "of a model that was closed"
        with Session(self._model) as session:  # the C interface tells only a session's numbers
            session.restore(self)
            return session._describe()


class Session(Handle):
    """One stream of a model, opened by `Model.session`.

    Parameters
    ----------
    model : Model
        Shared by all its sessions, which leave it as it is.
    learn : {"memory", "off", "on"}, default "memory"
        ``"off"``: nothing is written.  ``"memory"``: the in-context memories are, token by token.
        ``"on"``: the CMS levels learn online as well, each at its own period.
    seed : int, default 0
        Of the sampling; modulo 2**64.

    Notes
    -----
    The session reads tokens and predicts the next one.  Level l takes one optimizer step every
    C_l tokens, with the summed gradient of the chunk (arXiv 2512.24695, equations 70 to 73); the
    memories are self-modifying Titans (equations 83 to 96).  How a stream is cut into calls does
    not matter: ``feed(a); feed(b)`` equals ``feed(a + b)`` bit for bit.  Sessions of one model run
    in parallel threads.

    `copy.copy` and `copy.deepcopy` make an independent stream on the same model (`fork`).  A
    pickled session carries its model and its model's fingerprint; what is pickled together shares
    one model.  To keep the model out of the pickle, send `Snapshot.to_bytes`, or replace the model
    by a `pickle.Pickler.persistent_id`.

    Examples
    --------
    >>> with model.session(learn="on") as session:
    ...     fed = session.read(text)
    ...     written = session.generate(8, temperature=0.8)
    >>> fed.consumed, fed.updates, len(written)
    (900, 28, 8)
    """

    _release = "nested_session_release"

    def __init__(self, model: Model, learn: LearnMode = "memory", seed: int = 0) -> None:
        options = _library.nested_session_options(learn=_mode(learn), seed=seed & (2**64 - 1))
        out = ctypes.c_void_p()
        check(lib.nested_session_create(
            model._handle, ctypes.byref(options), ctypes.byref(out)))
        self._own(out, model)

    def _own(self, handle: ctypes.c_void_p, model: Model) -> None:
        self._adopt(handle, model._keep)
        self._model = model
        self.finish: FinishReason | None = None
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
        """The model that it is a stream of."""
        return self._model

    @property
    def learn(self) -> LearnMode:
        """``"off"``, ``"memory"`` or ``"on"``; assignable.

        Gradients count from the token at which learning was switched on; switching it off drops
        the pending ones.
        """
        return _LEARN_NAMES[self._info().learn]

    @learn.setter
    def learn(self, mode: LearnMode) -> None:
        check(lib.nested_session_set_learn(self._handle, _mode(mode)))

    @property
    def position(self) -> int:
        """Tokens consumed."""
        return int(self._info().position)

    @property
    def seed(self) -> int:
        """Of the sampling."""
        return int(self._info().seed)

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
            Token ids; none are allowed.
        progress : callable, optional
            Called with a `Progress` a few times a second; returning True stops the call.
        cancel : Cancel, optional
            A flag by which another thread may stop the call.

        Returns
        -------
        float32 array [n, V]
            Row i predicts token i + 1.

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
        array = stream_array(tokens)
        result = np.empty((array.size, self._model._shape.vocab), np.float32)
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
            Token ids; none are allowed.
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
        """Logits after the last token, float32 [V]; `StateError` before the first."""
        size = ctypes.c_size_t()
        result = np.empty(self._model._shape.vocab, np.float32)
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
            Most tokens.
        temperature : float, default 0
            0 takes the most likely token.
        top_k : int, default 0
            Only so many of the most likely tokens; 0 is off.
        top_p : float, default 0
            Only the most likely tokens that together have this probability; 0 is off.
        min_p : float, default 0
            Only tokens with this fraction of the most likely one's probability; 0 is off.
        repetition_penalty : float, default 0
            Divides the odds of what was there already; 0 or 1 is off.
        repetition_window : int, default 0
            Tokens that the penalty looks back on; 0 means 64.
        stop : iterable of int, optional
            Tokens that end the passage; the one met is the last of the result.
        logit_bias : {token: bias} or array [V], optional
            Added to the logits.
        on_token : callable, optional
            Called with each token and its log-probability; returning True ends the passage.
        progress : callable, optional
            Called with a `Progress` a few times a second; returning True stops the call.
        cancel : Cancel, optional
            A flag by which another thread may stop the call.

        Returns
        -------
        int32 array, at most `n` long
            `finish` says why it ended.

        Raises
        ------
        StateError
            The stream has no first token yet.
        ArgumentError
            An option is out of range.
        Cancelled
            `cancel` was raised or `progress` returned True; see `position`.

        Notes
        -----
        The tokens depend on the session's state, seed and position only.  They advance state and
        memories, and teach the levels nothing.

        Examples
        --------
        >>> session = model.session()
        >>> _ = session.read(b"to be or not ")
        >>> bytes(session.generate(5).astype("uint8"))
        b'to be'
        >>> session.finish
        'length'
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
        vocab = self._model._shape.vocab
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
        """An independent copy, which goes on from here on its own.

        Returns
        -------
        Session
            On the same model.

        Examples
        --------
        >>> session = model.session()
        >>> _ = session.read(b"to be")
        >>> branch = session.fork()
        >>> _ = branch.read(b" or not")
        >>> session.position, branch.position
        (5, 12)
        """
        out = ctypes.c_void_p()
        check(lib.nested_session_fork(self._handle, ctypes.byref(out)))
        return self._from(out, self._model)

    def __copy__(self) -> Session:
        return self.fork()

    def __deepcopy__(self, memo: Any) -> Session:
        return self.fork()

    def __reduce__(self) -> Any:
        with self.snapshot() as snapshot:
            return Session._restored, (self._model, snapshot.to_bytes())

    @staticmethod
    def _restored(model: Model, data: bytes) -> Session:
        """A session as it was pickled; refused by a model of another fingerprint."""
        session = Session(model)
        with Snapshot.from_bytes(model, data) as snapshot:
            session.restore(snapshot)
        return session

    def snapshot(self) -> Snapshot:
        """A frozen copy of the state, for `restore`.

        Returns
        -------
        Snapshot
        """
        out = ctypes.c_void_p()
        check(lib.nested_session_snapshot(self._handle, ctypes.byref(out)))
        return Snapshot.__new__(Snapshot)._own(out, self._model)

    def restore(self, snapshot: Snapshot) -> None:
        """Puts the session into a snapshot's state, mode and seed included.

        Parameters
        ----------
        snapshot : Snapshot
            Of any session on a model of the same configuration.

        Raises
        ------
        MismatchError
            The snapshot belongs to another configuration.
        """
        check(lib.nested_session_restore(self._handle, snapshot._handle))

    def reset(self) -> None:
        """Back to the state after opening, in the present mode."""
        check(lib.nested_session_reset(self._handle))

    def save(
        self, path: PathLike, *, delta: bool = False, sync: bool = True,
        progress: ProgressCallback | None = None, cancel: Cancel | None = None,
    ) -> None:
        """Writes a safetensors file, whole or not at all; `Model.restore` reads it.

        Parameters
        ----------
        path : path
            Replaced in one step; a crash at any moment leaves the old file or the new one.
        delta : bool, default False
            False writes the whole session: loaded on the same weights it goes on bit for bit.
            True writes only what the CMS levels have learnt, which is small and can be sent to
            another machine that has the model; loading it gives a fresh stream on these levels,
            and other weights are refused.
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
        >>> session = model.session(learn="on")
        >>> _ = session.read(text)
        >>> session.save("session.safetensors")
        >>> model.restore("session.safetensors").position
        900
        >>> session.save("delta.safetensors", delta=True)
        >>> fresh = model.restore("delta.safetensors")
        >>> fresh.position, fresh.level(0, 0).delta_norm == session.level(0, 0).delta_norm
        (0, True)
        """
        flags = 0 if sync else _library.NESTED_SAVE_NO_SYNC
        flags |= _library.NESTED_SAVE_DELTA if delta else 0
        with Run(progress, cancel) as run:
            check(lib.nested_session_save(self._handle, os.fsencode(path), flags, run.pointer))

    # Levels

    @property
    def levels(self) -> list[Level]:
        """The CMS levels of all layers, layer by layer, the fastest first."""
        shape = self._model._shape
        return [self.level(layer, level) for layer in range(shape.n_layers)
                for level in range(shape.n_levels)]

    def level(self, layer: int, level: int) -> Level:
        """One level of one layer.

        Parameters
        ----------
        layer : int
            Block, from 0.
        level : int
            0 is the fastest.

        Returns
        -------
        Level

        Raises
        ------
        ArgumentError
            There is no such level.

        Examples
        --------
        >>> session = model.session(learn="on")
        >>> _ = session.read(text)
        >>> fast = session.level(0, 0)
        >>> fast.chunk, fast.updates, fast.last_update, fast.next_update
        (64, 14, 896, 960)
        """
        r = _library.nested_level()
        check(lib.nested_session_level(self._handle, layer, level, ctypes.byref(r)))
        return Level(
            r.layer, r.level, r.chunk, bool(r.frozen),
            r.last_update if r.last_update >= 0 else None,
            r.next_update if r.next_update >= 0 else None, r.n_updates, r.n_skipped, r.n_params,
            r.lr, r.weight_norm, r.delta_norm, r.last_grad_norm, r.last_update_norm,
            r.pending_norm)

    def freeze(self, layer: int | None = None, level: int | None = None) -> None:
        """Stops levels from learning.

        Parameters
        ----------
        layer : int, optional
            One block; by default all.
        level : int, optional
            One level, 0 is the fastest; by default all.
        """
        self._control(layer, level, frozen=1)

    def thaw(self, layer: int | None = None, level: int | None = None) -> None:
        """Undoes `freeze`.

        Parameters
        ----------
        layer : int, optional
            One block; by default all.
        level : int, optional
            One level, 0 is the fastest; by default all.
        """
        self._control(layer, level, frozen=-1)

    def scale_learning_rate(
        self, factor: float, layer: int | None = None, level: int | None = None,
    ) -> None:
        """Sets the factor on the configured learning rate of levels.

        Parameters
        ----------
        factor : float
            More than 0.
        layer : int, optional
            One block; by default all.
        level : int, optional
            One level, 0 is the fastest; by default all.
        """
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
        """Applies collected gradients now instead of at the end of the period.

        Parameters
        ----------
        layer : int, optional
            One block; by default all.
        level : int, optional
            One level, 0 is the fastest; by default all.

        Notes
        -----
        The clock is untouched.
        """
        check(lib.nested_session_level_flush(self._handle, _all(layer), _all(level)))

    def reset_levels(self, layer: int | None = None, level: int | None = None) -> None:
        """Returns levels to the model's weights: forgets what they have learnt.

        Parameters
        ----------
        layer : int, optional
            One block; by default all.
        level : int, optional
            One level, 0 is the fastest; by default all.
        """
        check(lib.nested_session_level_reset(self._handle, _all(layer), _all(level)))

    def _describe(self) -> str:
        info = self._info()
        return (f"at {info.position:,}, learn={_LEARN_NAMES[info.learn]!r}, seed {info.seed}, "
                f"{info.n_updates:,} updates, {info.state_bytes:,} bytes of its own")


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
