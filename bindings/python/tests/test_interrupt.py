"""Ctrl-C, cancel tokens, threads, fork."""

from __future__ import annotations

import math
import os
import signal
import threading
import time

import numpy as np
import pytest
from conftest import CONFIG, stream

import nested


def interrupt_soon(delay: float = 0.2) -> threading.Thread:
    """SIGINT to this process, from another thread."""
    def send():
        time.sleep(delay)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
    thread = threading.Thread(target=send)
    thread.start()
    return thread


def test_ctrl_c_stops_fit_at_a_whole_step(model):
    text = stream(20_000)
    trainer = nested.Trainer(model)
    handler = signal.getsignal(signal.SIGINT)
    sender = interrupt_soon()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(text, 1_000_000, 2, 32)
    assert time.monotonic() - started < 5
    sender.join()
    assert signal.getsignal(signal.SIGINT) is handler
    step = trainer.step(text[:64])
    assert step.applied and step.step > 1 and math.isfinite(step.loss)
    twin = nested.Model(CONFIG, seed=1)
    nested.Trainer(twin).fit(text, step.step - 1, 2, 32)
    trainer.close()


def test_ctrl_c_stops_a_long_feed(model):
    tokens = np.tile(stream(10_000), 400)
    session = model.session(learn="on")
    sender = interrupt_soon()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        session.read(tokens)
    assert time.monotonic() - started < 5
    sender.join()
    position = session.position
    assert 0 < position < tokens.size
    if position < 300_000:  # equal to a fresh run of that prefix
        twin = model.session(learn="on")
        twin.read(tokens[:position])
        assert np.array_equal(twin.feed(tokens[:20]), session.feed(tokens[:20]))


def test_ctrl_c_stops_generate(model):
    session = model.session()
    session.read(stream(10))
    sender = interrupt_soon()
    with pytest.raises(KeyboardInterrupt):
        session.generate(50_000_000)
    sender.join()
    assert session.position > 10 and np.isfinite(session.feed([1])).all()


def test_a_handler_that_does_not_raise_does_not_stop(model):
    calls = []
    previous = signal.signal(signal.SIGINT, lambda *_: calls.append(1))
    try:
        sender = interrupt_soon(0.05)
        result = nested.Trainer(model).fit(stream(2000), 200, 2, 32)
        sender.join()
    finally:
        signal.signal(signal.SIGINT, previous)
    assert result.steps == 200 and calls == [1]


def test_a_cancel_token_stops_calls_in_any_thread(model):
    session, stop, caught = model.session(), nested.Cancel(), []

    def work():
        try:
            session.read(np.tile(stream(10_000), 400), cancel=stop)
        except nested.Cancelled as failure:
            caught.append(failure)
    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.1)
    stop.raise_()
    thread.join(10)
    assert not thread.is_alive() and caught and caught[0].status == "NESTED_E_CANCELLED"
    assert stop.raised
    with pytest.raises(nested.Cancelled):
        session.read(stream(100), cancel=stop)
    stop.clear()
    session.read(stream(100), cancel=stop)


def test_progress_may_stop(model):
    with pytest.raises(nested.Cancelled):
        nested.Trainer(model).fit(stream(2000), 100_000, 2, 32, progress=lambda p: p.done > 3)


def test_many_sessions_in_parallel_threads(model):
    tokens = [stream(400, seed) for seed in range(8)]
    expected = [model.session(learn="on", seed=i).feed(t) for i, t in enumerate(tokens)]
    results: list = [None] * 8

    def work(i):
        session = model.session(learn="on", seed=i)
        results[i] = np.concatenate([session.feed(part) for part in np.array_split(tokens[i], 13)])
    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result, want in zip(results, expected):
        assert np.array_equal(result, want)


def test_sessions_read_while_a_trainer_trains(model):
    trainer, failures, stop = nested.Trainer(model), [], threading.Event()

    def work():
        session = model.session(learn="on")
        while not stop.is_set():
            if not np.isfinite(session.feed(stream(50))).all():
                failures.append("not finite")
    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    result = trainer.fit(stream(2000), 20, 2, 32)
    stop.set()
    for thread in threads:
        thread.join()
    assert result.steps == 20 and not failures


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_gets_an_error_or_works_but_never_hangs():
    with nested.Context(threads=2) as context:
        model = nested.Model(CONFIG, context=context)
        model.loss(stream(64))
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            try:
                model.loss(stream(64))
                code = 1
            except nested.StateError as failure:
                code = 0 if failure.status == "NESTED_E_FORKED" else 2
            try:
                nested.Model(CONFIG).loss(stream(64))  # the default context is made anew
            except BaseException:
                code = 3
            os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
