"""Long calls: cancelling, progress, Ctrl-C.

Python runs its signal handlers between byte codes of the main thread, so a main thread that is
inside a long C call would not see Ctrl-C before the call ends.  `Run` therefore gives every long
call a progress callback.  Entering it lets Python run the handler that `Run` has put in place for
the time of the call; that handler runs the previous one and keeps what it raises, the callback
asks the library to stop at the next committed chunk, and leaving the `with` block raises the kept
exception.  Nothing is thrown across C, and the object stays valid.
"""

from __future__ import annotations

import ctypes
import signal
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Callable

from . import _library
from ._errors import check
from ._handle import Handle
from ._library import lib

__all__ = ["Cancel", "Progress", "ProgressCallback", "Run"]

_thread = threading.local()


class Cancel(Handle):
    """A flag that any thread may raise to stop the calls that watch it.

    Notes
    -----
    A call looks at it between steps of training and segments of a stream, and raises `Cancelled`;
    its object is then valid at the last committed step or chunk.

    Examples
    --------
    >>> stop = nested.Cancel()
    >>> stop.raise_()
    >>> session = model.session()
    >>> session.read(text, cancel=stop)
    Traceback (most recent call last):
    nested.Cancelled: ...
    >>> stop.clear()
    >>> session.read(text, cancel=stop).consumed
    900
    """

    _release = "nested_cancel_release"

    def __init__(self) -> None:
        out = ctypes.c_void_p()
        check(lib.nested_cancel_create(ctypes.byref(out)))
        self._adopt(out)

    def raise_(self) -> None:
        """Stops the calls that watch this flag, now and until `clear`."""
        check(lib.nested_cancel_raise(self._handle))

    def clear(self) -> None:
        """Lowers the flag for the next call."""
        check(lib.nested_cancel_clear(self._handle))

    @property
    def raised(self) -> bool:
        """Whether the flag is up."""
        return bool(lib.nested_cancel_is_raised(self._handle))

    def _describe(self) -> str:
        return "raised" if self.raised else "not raised"


@dataclass(frozen=True)
class Progress:
    """What a progress callback is told."""

    stage: str
    """``"load"``, ``"save"``, ``"fit"``, ``"feed"``, ..."""
    done: int
    """Steps, tokens or bytes."""
    total: int
    """0 when it is not known."""
    elapsed: float
    """Seconds since the call began."""
    loss: float
    """Running mean in nats, NaN when there is none."""


ProgressCallback = Callable[[Progress], Any]
"""Called now and then with a `Progress`; returning True stops the call with `Cancelled`."""


class Run:
    """The companion of one long call, as a context manager; ``run.pointer`` goes to C."""

    INTERVAL_MS = 50

    def __init__(
        self, progress: ProgressCallback | None = None, cancel: Cancel | None = None,
    ) -> None:
        self._progress = progress
        self._failure: BaseException | None = None
        self._previous: Any = None
        self._trampoline = _library.nested_progress_fn(self._called)  # alive as long as the call
        self._cancel = cancel
        self._struct = _library.nested_run(
            interval_ms=self.INTERVAL_MS, cancel=cancel._handle if cancel is not None else None,
            progress=self._trampoline,
        )
        self.pointer = ctypes.byref(self._struct)

    @staticmethod
    def current() -> Run:
        """The innermost run of this thread, for callbacks that C calls during it."""
        run: Run = _thread.run
        return run

    def fail(self, failure: BaseException) -> None:
        """Keeps the first exception of a callback, to be raised when the call has returned."""
        if self._failure is None:
            self._failure = failure

    def _called(self, user: Any, record: Any) -> int:
        try:
            if self._progress is not None and self._failure is None:
                r = record.contents
                stage = (r.stage or b"").decode()
                if self._progress(Progress(stage, r.done, r.total, r.elapsed_s, r.loss)) is True:
                    return 1
        except BaseException as failure:  # must not cross C; raised by __exit__
            self.fail(failure)
        return 1 if self._failure is not None else 0

    def _signalled(self, number: int, frame: Any) -> None:
        try:
            self._previous(number, frame)
        except BaseException as failure:
            self.fail(failure)

    def __enter__(self) -> Run:
        self._outer, _thread.run = getattr(_thread, "run", None), self
        if threading.current_thread() is threading.main_thread():
            previous = signal.getsignal(signal.SIGINT)
            if callable(previous):
                self._previous = previous
                signal.signal(signal.SIGINT, self._signalled)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
            self._previous = None
        _thread.run = self._outer
        # A cycle through C that the collector does not see: struct, trampoline, self.
        del self.pointer, self._struct, self._trampoline
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure from None


class Brief:
    """Stands in for `Run` where a call is over before anybody could want to stop it."""

    pointer = None

    def __enter__(self) -> Brief:
        return self

    def __exit__(self, *failure: object) -> None:
        pass


_BRIEF = Brief()


def run_for(
    tokens: int, progress: ProgressCallback | None, cancel: Cancel | None,
) -> Run | Brief:
    """The run of a call over so many tokens; none for a few, which are fed in hot loops."""
    if tokens <= 16 and progress is None and cancel is None:
        return _BRIEF
    return Run(progress, cancel)
