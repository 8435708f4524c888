"""Sessions: streams that remember, and learn while they read."""

from __future__ import annotations

import ctypes
import os
from typing import Any

from . import _library
from ._errors import ArgumentError, check
from ._generation import FinishReason, Generation
from ._levels import Levels
from ._library import lib
from ._model import LearnMode, Model
from ._model_files import PathLike
from ._run import Cancel, ProgressCallback, Run
from ._snapshot import Snapshot
from ._stream import Stream
from ._teaching import Teaching

__all__ = ["Session"]

_LEARN_NAMES: dict[int, LearnMode] = {
    _library.NESTED_LEARN_MEMORY: "memory", _library.NESTED_LEARN_OFF: "off",
    _library.NESTED_LEARN_ON: "on"}
_LEARN = {name: number for number, name in _LEARN_NAMES.items()}


class Session(Teaching, Stream, Generation, Levels):
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

    def _describe(self) -> str:
        info = self._info()
        return (f"at {info.position:,}, learn={_LEARN_NAMES[info.learn]!r}, seed {info.seed}, "
                f"{info.n_updates:,} updates, {info.state_bytes:,} bytes of its own")


def _mode(learn: str) -> int:
    if learn not in _LEARN:
        raise ArgumentError(
            f'learn is "off", "memory" or "on", not {learn!r}', place="learn")
    return _LEARN[learn]
