"""Small models and streams that the tests share."""

from __future__ import annotations

import signal

import numpy as np
import pytest

import nested

# A process started in the background ignores SIGINT, and Python then leaves it so.
signal.signal(signal.SIGINT, signal.default_int_handler)

CONFIG = {
    "kind": "hope", "vocab": 97, "d_model": 32, "n_layers": 2, "head_dim": 16,
    "memory": {"memory_chunk": 8, "projection_chunk": 8},
    "cms": {"levels": [
        {"chunk": 8, "hidden": 32, "lr": 0.05}, {"chunk": 32, "hidden": 32, "lr": 0.05},
        {"chunk": 0, "hidden": 32}]},
}


def stream(n: int, seed: int = 0) -> np.ndarray:
    """Tokens with something to learn: each depends on the one before."""
    random = np.random.default_rng(seed)
    steps = random.integers(1, 4, n)
    return (np.cumsum(steps) % 97).astype(np.int32)


@pytest.fixture
def model() -> nested.Model:
    return nested.Model(CONFIG, seed=1)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    item.failed = outcome.get_result().failed


@pytest.fixture(autouse=True)
def nothing_leaks(request):
    """After a test every handle is released again, the default context excepted."""
    import gc

    from nested._library import lib
    gc.collect()
    before = lib.nested_live_handles(0)
    yield
    if request.node.failed:  # its traceback holds what the test made
        return
    request.node.funcargs.clear()
    gc.collect()
    assert lib.nested_live_handles(0) <= max(before, 1)
