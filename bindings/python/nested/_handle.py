"""Ownership: one Python object holds one count of one C handle."""

from __future__ import annotations

import ctypes
import weakref
from types import TracebackType
from typing import Any, TypeVar

from ._errors import Error
from ._library import lib

Self = TypeVar("Self", bound="Handle")


def _drop(name: str, handle: int, keep: Any) -> None:
    # `keep` holds what C may still call while this handle lives (the log callback of a context).
    getattr(lib, name)(ctypes.c_void_p(handle))


class Handle:
    """Base of all objects: `close`, ``with``, and release when the object is collected.

    The library accepts releases from any thread and in any order, so collection needs no care.
    """

    _release = ""
    _instead = ""  # of pickling, where there is something else to do
    _handle: ctypes.c_void_p
    _keep: Any
    # None until a constructor has succeeded.
    _finalizer: weakref.finalize[Any, Any] | None = None

    def _adopt(self, handle: ctypes.c_void_p, keep: Any = None) -> None:
        self._handle = ctypes.c_void_p(handle.value)
        self._keep = keep
        self._finalizer = weakref.finalize(self, _drop, self._release, handle.value or 0, keep)

    def close(self) -> None:
        """Releases the object now; may be repeated.

        Later calls on it raise `StateError`.  What was made from it lives on.
        """
        if self._finalizer is not None:
            self._finalizer()
        self._handle = ctypes.c_void_p()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._finalizer is None or not self._finalizer.alive

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> Any:
        raise TypeError(
            f"a nested.{type(self).__name__} cannot be pickled or copied{self._instead}")

    def _describe(self) -> str:
        """What `repr` says of a living object."""
        return ""

    def __repr__(self) -> str:
        name = f"nested.{type(self).__name__}"
        if self.closed:
            return f"<{name}, closed>"
        try:
            told = self._describe()
        except Error as failure:  # busy further up the stack, left behind by fork(), poisoned
            told = failure.status
        return f"<{name} {told}>"
