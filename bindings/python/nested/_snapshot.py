"""Frozen states of sessions."""

from __future__ import annotations

import ctypes
from typing import Any

from ._arrays import Buffer, bytes_array, pointer
from ._config import blob_bytes
from ._errors import check
from ._handle import Handle
from ._library import lib
from ._model import Model

__all__ = ["Snapshot"]


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
        from ._session import Session

        with Session(self._model) as session:  # the C interface tells only a session's numbers
            session.restore(self)
            return session._describe()
