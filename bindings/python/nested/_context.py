"""Contexts: threads, memory limit, log."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from dataclasses import dataclass
from typing import Any, Callable, Literal

from . import _library
from ._errors import ArgumentError, check
from ._handle import Handle
from ._library import lib

__all__ = ["Context", "LogRecord", "MemoryStats", "default_context"]

LogLevel = Literal["off", "error", "warn", "info", "debug"]

_LEVEL_NAMES: dict[int, LogLevel] = {
    _library.NESTED_LOG_OFF: "off", _library.NESTED_LOG_ERROR: "error",
    _library.NESTED_LOG_WARN: "warn", _library.NESTED_LOG_INFO: "info",
    _library.NESTED_LOG_DEBUG: "debug"}
_LEVELS = {name: number for number, name in _LEVEL_NAMES.items()}


@dataclass(frozen=True)
class LogRecord:
    """One complete line of the library's log."""

    level: LogLevel
    """``"error"``, ``"warn"``, ``"info"`` or ``"debug"``."""
    component: str
    """``"load"``, ``"train"``, ``"session"``, ..."""
    message: str
    """Without a newline."""


@dataclass(frozen=True)
class MemoryStats:
    """Tensor storage of a context, in bytes."""

    in_use: int
    """Now."""
    peak: int
    """The most there ever was."""
    limit: int
    """0 when there is none."""
    allocations: int
    """So far; stands still once a loop is warm."""


class Context(Handle):
    """Threads, memory limit and log of the models made from it.

    Parameters
    ----------
    threads : int, default 0
        Threads that compute; 0 means one per available core, 1 starts none.
    memory_limit : int, default 0
        Bytes of tensor storage, 0 for no limit.
    log : callable, optional
        Called with a `LogRecord`, on the thread that is inside the call.
    log_level : {"off", "error", "warn", "info", "debug"}, default "info"
        Records up to this one reach `log`.

    Raises
    ------
    ArgumentError
        A number is out of range.
    UnsupportedError
        The processor is older than x86-64-v3 (Haswell, Zen).

    Notes
    -----
    Results do not depend on `threads`: they are the same bits.  The library keeps a context alive
    as long as anything made from it, so closing it early is safe.

    Threads do not survive ``fork()``.  In a forked child, objects of a context with more than one
    thread raise `StateError` (``NESTED_E_FORKED``), those of ``Context(threads=1)`` go on working,
    and models made without a context get a new one.

    Examples
    --------
    >>> with nested.Context(threads=2, memory_limit=1 << 30) as context:
    ...     small = nested.Model({"vocab": 64, "d_model": 32, "n_layers": 1}, context=context)
    >>> context.closed, small.vocab
    (True, 64)
    """

    _release = "nested_context_release"

    def __init__(
        self, threads: int = 0, memory_limit: int = 0,
        log: Callable[[LogRecord], Any] | None = None, log_level: LogLevel = "info",
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
        self._threads = threads

    @property
    def memory(self) -> MemoryStats:
        """Storage in use now, its peak, the limit, and the number of allocations so far."""
        record = _library.nested_memory_stats()
        check(lib.nested_context_memory(self._handle, ctypes.byref(record)))
        return MemoryStats(record.in_use, record.peak, record.limit, record.n_allocations)

    def _describe(self) -> str:
        memory = self.memory
        plural = "s" if self._threads > 1 else ""
        threads = f"{self._threads} thread{plural}" if self._threads else "all cores"
        limit = f" of {memory.limit:,}" if memory.limit else ""
        return f"{threads}, {memory.in_use:,}{limit} bytes in use"


def _log_trampoline(log: Callable[[LogRecord], Any]) -> Callable[[Any, Any], None]:
    def called(user: Any, record: Any) -> None:
        try:
            r = record.contents
            log(LogRecord(
                _LEVEL_NAMES[r.level], (r.component or b"").decode(),
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
_default_lock = threading.Lock()


def default_context() -> Context:
    """The context that is used where none is named: all available cores, no limit, no log."""
    global _default
    with _default_lock:
        if _default is None:
            _default = Context()
        return _default


def _forget() -> None:
    """In a forked child: threads do not survive fork(), and the lock may have been held."""
    global _default, _default_lock
    _default, _default_lock = None, threading.Lock()


os.register_at_fork(after_in_child=_forget)
