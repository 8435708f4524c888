"""Sampling tokens from a session."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Mapping
from typing import Any, Callable, Literal

import numpy as np
from numpy.typing import NDArray

from . import _library
from ._arrays import pointer, tokens_array
from ._errors import ArgumentError, check
from ._handle import Handle
from ._library import lib
from ._model import Model
from ._run import Cancel, ProgressCallback, Run

FinishReason = Literal["length", "stop", "callback"]


_FINISH: dict[int, FinishReason] = {
    _library.NESTED_FINISH_LENGTH: "length", _library.NESTED_FINISH_STOP: "stop",
    _library.NESTED_FINISH_CALLBACK: "callback"}


class Generation(Handle):
    """How a `Session` writes."""

    _model: Model
    finish: FinishReason | None

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
