"""Status codes of the library as Python exceptions."""

from __future__ import annotations

import ctypes
import errno
import functools
from typing import Any

from . import _library
from ._library import lib

__all__ = [
    "Error", "ArgumentError", "ConfigError", "StateError", "MemoryLimitError", "FileError",
    "NotFoundError", "UnsupportedError", "NumericError", "MismatchError", "Cancelled",
]


class Error(Exception):
    """A call of the library failed; every object is as it was before the call.

    Attributes
    ----------
    status : str
        Name of the status, for example ``"NESTED_E_SHAPE"``.
    code : int
        Its number in ``nested.h``; permanent.
    message : str
        One English sentence.
    place : str
        JSON pointer into a configuration, tensor name or argument name; ``""`` when there is none.
    offset : int
        Byte offset into malformed text or a corrupt file, else -1.
    os_error : int
        ``errno`` of a failed file operation, else 0.
    function : str
        Function of the C interface that failed.
    """

    def __init__(
        self, message: str, *, code: int = -2, place: str = "", offset: int = -1,
        os_error: int = 0, function: str = "",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.place = place
        self.offset = offset
        self.os_error = os_error
        self.function = function

    @property
    def status(self) -> str:
        """Name of the status, for example ``"NESTED_E_SHAPE"``."""
        return (lib.nested_status_name(self.code) or b"").decode()

    def __reduce__(self) -> Any:  # whole, so that it crosses from a worker process
        details = {name: getattr(self, name)
                   for name in ("code", "place", "offset", "os_error", "function")}
        return functools.partial(type(self), self.message, **details), ()

    def __str__(self) -> str:
        where = f" (at {self.place})" if self.place else ""
        where += f" (byte {self.offset})" if self.offset >= 0 else ""
        return f"{self.message}{where} [{self.status}]"


class ArgumentError(Error, ValueError):
    """A value, index, shape or element type that the call does not accept."""


class ConfigError(Error, ValueError):
    """A configuration or trainer option is malformed or invalid; see ``place`` and ``offset``."""


class StateError(Error):
    """The call is not allowed in the object's present state, or the object was closed."""


class MemoryLimitError(Error, MemoryError):
    """Memory ran out, or the context's limit was reached."""


class FileError(Error, OSError):
    """A file could not be read or written, or fails its checks; ``errno`` is set for the former."""

    def __init__(self, message: str, **details: object) -> None:
        Error.__init__(self, message, **details)  # type: ignore[arg-type]
        self.errno = self.os_error or None


class NotFoundError(FileError, FileNotFoundError):
    """There is no file of that name."""


class UnsupportedError(Error, NotImplementedError):
    """Not in this build, or not for this kind of model."""


class NumericError(Error, ArithmeticError):
    """A NaN or an infinity where a finite number is required."""


class MismatchError(Error, ValueError):
    """Objects of different architectures or weights were put together."""


class Cancelled(Error):
    """A cancel token was raised; the object is valid at the last committed step or chunk."""


_CLASS = {
    "ARGUMENT": ArgumentError, "RANGE": ArgumentError, "SHAPE": ArgumentError,
    "DTYPE": ArgumentError, "LAYOUT": ArgumentError, "CAPACITY": ArgumentError,
    "HANDLE": StateError, "REENTRANT": StateError, "STATE": StateError, "EXISTS": StateError,
    "FORKED": StateError, "POISONED": StateError,
    "NOMEM": MemoryLimitError, "LIMIT": MemoryLimitError,
    "CONFIG": ConfigError, "PARSE": ConfigError,
    "NOT_FOUND": NotFoundError, "CORRUPT": FileError, "IO": FileError, "VERSION": FileError,
    "UNSUPPORTED": UnsupportedError, "NUMERIC": NumericError, "MISMATCH": MismatchError,
    "CANCELLED": Cancelled,
}


def last_error(status: int) -> Error:
    """The exception for a failed call of this thread."""
    record = _library.nested_error()
    lib.nested_last_error(ctypes.byref(record))
    name = (lib.nested_status_name(status) or b"").decode()
    kind = _CLASS.get(name.removeprefix("NESTED_E_"), Error)
    if kind is FileError and record.os_error == errno.ENOENT:
        kind = NotFoundError
    return kind(
        (record.message or b"").decode("utf-8", "replace") or name, code=status,
        place=(record.place or b"").decode("utf-8", "replace"), offset=record.offset,
        os_error=record.os_error, function=(record.function or b"").decode(),
    )


def check(status: int) -> None:
    """Raises the exception that belongs to a negative status."""
    if status < 0:
        raise last_error(status)
