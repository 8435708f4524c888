"""05: watch a long call, stop it, and read its errors; what failed is as it was.

New here: progress callbacks, Cancel, Ctrl-C (KeyboardInterrupt), Error with status, place and
message.

    python 05_cancel_progress_errors.py
"""

import os
import signal
import threading
import time
from collections.abc import Callable

import numpy as np

import nested

signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the shell had it ignored
text = b"the quick brown fox jumps over the lazy dog. " * 100
model = nested.Model({"kind": "hope", "vocab": 256, "d_model": 64, "n_layers": 2}, seed=0)
trainer = nested.Trainer(model, lr=1e-2, schedule={"type": "constant"})


def later(action: Callable[[], object], seconds: float = 0.3) -> None:
    """Runs something in another thread while this one is inside the library."""
    threading.Timer(seconds, action).start()


# Progress comes on this thread, about 20 times a second; returning True stops the call.
seen: list[int] = []


def watch(progress: nested.Progress) -> bool:
    seen.append(progress.done)
    return progress.done >= 5


try:
    trainer.fit(text, steps=100_000, batch=4, length=64, progress=watch)
except nested.Cancelled as error:
    print(f"progress said stop: {error.status} after {seen[-1]} of 100,000 steps")

# Another thread raises a flag.  The session is valid at the last segment that it has read.
session, stop = model.session(learn="on"), nested.Cancel()
later(stop.raise_)
try:
    session.read(text * 1000, cancel=stop)
except nested.Cancelled:
    print(f"cancelled: {session.position:,} of {len(text) * 1000:,} bytes read")
twin = model.session(learn="on")
twin.read((text * 1000)[:session.position])
assert np.array_equal(twin.feed(text[:20]), session.feed(text[:20])), "not a clean stop"

# Ctrl-C does the same, as KeyboardInterrupt.
later(lambda: os.kill(os.getpid(), signal.SIGINT))
started = time.monotonic()
try:
    trainer.fit(text, steps=100_000, batch=4, length=64)
except KeyboardInterrupt:
    print(f"Ctrl-C: stopped after {time.monotonic() - started:.1f} s, "
          f"{trainer.step(text[:64]).step - 1} whole steps were made")

# Errors: what and where; ArgumentError is a ValueError too, NotFoundError a FileNotFoundError.
for attempt in (
    lambda: nested.Model({"vocab": 256, "cms": {"levels": [{"chunk": -1}]}}),
    lambda: nested.Model({"vocab": 256, "d_modell": 64}),
    lambda: model.loss([[1, 2, 256]]),
    lambda: nested.load("missing.safetensors"),
    lambda: model.tensors.__setitem__("norm.weight", np.zeros(3)),
    lambda: nested.Trainer(model, lr=1.0),
):
    before = model.parameters
    try:
        attempt()
    except nested.Error as error:
        print(f"{type(error).__name__} ({error.status}) at {error.place or '-'}: {error.message}")
        assert error.status.startswith("NESTED_E_") and error.message
    else:
        raise SystemExit("that should have failed")
    assert np.array_equal(model.parameters, before)

# An exception of your own callback comes back to you, out of the call.
try:
    session.generate(10, on_token=lambda token, logprob: 1 / 0)
except ZeroDivisionError:
    print("the callback's own ZeroDivisionError came through")
