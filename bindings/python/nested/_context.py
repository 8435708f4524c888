"""Contexts: threads, memory limit, log."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from dataclasses import dataclass
from typing import Any, Callable

from . import _library
from ._errors import ArgumentError, check
from ._handle import Handle
from ._library import lib

__all__ = ["Context", "LogRecord", "MemoryStats", "default_context"]

_LEVELS = {"off": _library.NESTED_LOG_OFF, "error": _library.NESTED_LOG_ERROR,
           "warn": _library.NESTED_LOG_WARN, "info": _library.NESTED_LOG_INFO,
           "debug": _library.NESTED_LOG_DEBUG}
_LEVEL_NAMES = {number: name for name, number in _LEVELS.items()}


@dataclass(frozen=True)
class LogRecord:
    """One complete line of the library's log."""

    level: str
    component: str
    message: str


@dataclass(frozen=True)
class MemoryStats:
    """Tensor storage of a context, in bytes."""

    in_use: int
    peak: int
    limit: int
    allocations: int


class Context(Handle):
    """Threads, memory limit and log of the models made from it.

    Parameters
    ----------
    threads : int
        Threads that compute; 0 means one per available core, 1 starts none.
    memory_limit : int
        Bytes of tensor storage, 0 for no limit.
    log : callable, optional
        Called with a `LogRecord`, on the thread that is inside the call.
    log_level : str
        ``"error"``, ``"warn"``, ``"info"`` or ``"debug"``.

    Notes
    -----
    The library keeps a context alive as long as anything made from it: closing it early is safe.
    """

    _release = "nested_context_release"

    def __init__(
        self, threads: int = 0, memory_limit: int = 0,
        log: Callable[[LogRecord], Any] | None = None, log_level: str = "info",
    ) -> None:
        if log_level not in _LEVELS:
            raise ArgumentError(f"log_level is one of {', '.join(_LEVELS)}", place="log_level")
        if not -(2**31) <= threads < 2**31 or not 0 <= memory_limit < 2**64:
            raise ArgumentError("threads or memory_limit out of range", place="threads")
        options = _library.nested_context_options(n_threads=threads, memory_limit=memory_limit)
        trampoline = None
        if log is not None:
            trampoline = _library.nested_log_fn(_log_trampoline(log))
            options.log = trampoline
            options.log_level = _LEVELS[log_level]
        out = ctypes.c_void_p()
        check(lib.nested_context_create(ctypes.byref(options), ctypes.byref(out)))
        self._adopt(out, trampoline)

    @property
    def memory(self) -> MemoryStats:
        """Storage in use now, its peak, the limit, and the number of allocations so far."""
        record = _library.nested_memory_stats()
        check(lib.nested_context_memory(self._handle, ctypes.byref(record)))
        return MemoryStats(record.in_use, record.peak, record.limit, record.n_allocations)


def _log_trampoline(log: Callable[[LogRecord], Any]) -> Callable[[Any, Any], None]:
    def called(user: Any, record: Any) -> None:
        try:
            r = record.contents
            log(LogRecord(
                _LEVEL_NAMES.get(r.level, str(r.level)), (r.component or b"").decode(),
                (r.message or b"").decode("utf-8", "replace")))
        except BaseException:  # a log has no way to fail: report as Python does for finalizers
            sys.unraisablehook(_unraisable(log))
    return called


def _unraisable(source: Any) -> Any:
    kind, value, trace = sys.exc_info()
    return type("Unraisable", (), {
        "exc_type": kind, "exc_value": value, "exc_traceback": trace,
        "err_msg": "Exception in the log callback of a nested.Context", "object": source})


_default: Context | None = None
_default_pid = 0
_default_lock = threading.Lock()


def default_context() -> Context:
    """The context that is used where none is named: all available cores, no limit, no log."""
    global _default, _default_pid
    with _default_lock:
        if _default is None or _default_pid != os.getpid():  # threads do not survive fork()
            _default, _default_pid = Context(), os.getpid()
        return _default
