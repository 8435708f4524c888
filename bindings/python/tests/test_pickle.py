"""pickle, copy, repr; and what worker processes get of them."""

from __future__ import annotations

import copy
import gc
import io
import multiprocessing
import pickle
import signal
import sys

import numpy as np
import pytest
from conftest import CONFIG, stream

import nested
from nested._library import lib

PROTOCOLS = range(2, pickle.HIGHEST_PROTOCOL + 1)


@pytest.fixture
def session(model):
    """In the middle of a period, with everything that a session can have."""
    session = model.session(learn="on", seed=3)
    session.read(stream(45))
    session.freeze(layer=1, level=0)
    session.scale_learning_rate(0.5, layer=0)
    return session


def goes_on(session):
    """What a session does next, in bits."""
    return [session.feed(stream(50, 7)).tobytes(), session.generate(9, temperature=1.0).tobytes(),
            session.levels, session.updates, session.position, session.learn, session.seed]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_pickled_model_is_the_model(model, protocol):
    again = pickle.loads(pickle.dumps(model, protocol))
    assert again.config == model.config and again.fingerprint == model.fingerprint
    assert np.array_equal(again.parameters, model.parameters)
    assert np.array_equal(again.forward(stream(40)), model.forward(stream(40)))
    again.tensors["norm.weight"] = np.zeros(32)
    assert (model.tensors["norm.weight"] == 1).all()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_pickled_session_goes_on_bit_for_bit(session, protocol):
    data = pickle.dumps(session, protocol)
    expected = goes_on(session)
    assert goes_on(pickle.loads(data)) == expected


def test_what_is_pickled_together_shares_one_model(model, session):
    other, snapshot = model.session(), session.snapshot()
    a, b, c, d = pickle.loads(pickle.dumps([session, other, model, snapshot]))
    assert a.model is b.model is c is d.model and c is not model
    together, alone = len(pickle.dumps([session, other, model])), [
        len(pickle.dumps(one)) for one in (session, other, model)]
    assert together < sum(alone) - 1.99 * len(model.to_bytes())
    c.tensors["norm.weight"] = np.zeros(32)  # its sessions read the new weights
    assert not np.array_equal(a.feed(stream(20)), session.feed(stream(20)))


def test_a_pickled_snapshot_and_its_bytes(model, session):
    snapshot = session.snapshot()
    again = pickle.loads(pickle.dumps(snapshot))
    assert again.to_bytes() == snapshot.to_bytes()
    expected = goes_on(session)
    for one in (again, copy.copy(snapshot), copy.deepcopy(snapshot)):
        twin = one.model.session()
        twin.restore(one)
        assert goes_on(twin) == expected
    shared = copy.copy(snapshot)
    snapshot.close()
    twin.restore(shared)
    assert twin.position == 45


def test_a_session_without_its_model(model, session):
    """The way to keep the model out of a pickle, and what guards it: the fingerprint."""
    class Writer(pickle.Pickler):
        def persistent_id(self, value):
            return "the model" if isinstance(value, nested.Model) else None

    class Reader(pickle.Unpickler):
        def persistent_load(self, name):
            return self.model

    file = io.BytesIO()
    Writer(file).dump(session)
    assert len(file.getvalue()) < len(pickle.dumps(session)) - len(model.to_bytes()) // 2
    for there in (model.clone(), nested.Model({**CONFIG, "n_layers": 1})):
        file.seek(0)
        reader = Reader(file)
        reader.model = there
        if there.fingerprint == model.fingerprint:
            assert goes_on(reader.load()) == goes_on(session.fork())
        else:
            with pytest.raises(nested.MismatchError) as caught:
                reader.load()
            assert caught.value.place == "nested.fingerprint"


def test_copies_are_independent(model, session):
    before = model.parameters
    for make in (copy.copy, copy.deepcopy):
        twin = make(model)
        assert np.array_equal(twin.parameters, before)
        twin.tensors["norm.weight"] = np.zeros(32)
        nested.Trainer(twin).close()  # the trainer of a model is not copied, so this is its first
        branch = make(session)
        assert branch.model is session.model
        branch.read(stream(10))
        assert session.position == 45 and branch.position == 55
    assert np.array_equal(model.parameters, before)
    assert goes_on(copy.copy(session)) == goes_on(copy.deepcopy([session])[0]) == goes_on(session)


def test_configurations_and_results_are_plain(model, session):
    trainer = nested.Trainer(model)
    for value in (model.config, trainer.options, session.levels, model.evaluate(stream(20)),
                  trainer.step(stream(20)), session.read(stream(5)), nested.config_schema()):
        assert value == copy.deepcopy(value)
        assert repr(pickle.loads(pickle.dumps(value))) == repr(value)  # a NaN is no longer the same


def test_what_cannot_be_pickled_says_what_to_do(model):
    with nested.Context(threads=1) as context, nested.Trainer(model) as trainer, \
            nested.Cancel() as cancel:
        for one in (context, trainer, cancel):
            for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
                with pytest.raises(TypeError, match=f"nested.{type(one).__name__} cannot be"):
                    attempt(one)
    with pytest.raises(TypeError, match="Trainer.save"):
        pickle.dumps(nested.Trainer(model))


def test_closed_objects_are_not_pickled(model, session):
    snapshot = session.snapshot()
    for one in (snapshot, session, model):
        one.close()
        for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(nested.StateError):
                attempt(one)


def test_pickles_that_do_not_fit_are_refused(model):
    data = bytearray(model.to_bytes())
    data[-1] ^= 64
    for damaged in (bytes(data), bytes(data[:-4]), b"", b"nothing"):
        with pytest.raises(nested.FileError):
            nested.Model.from_bytes(damaged)
    assert nested.Model.from_bytes(memoryview(model.to_bytes())).fingerprint == model.fingerprint


@pytest.mark.parametrize("kind", [
    kind for kind in vars(nested).values()
    if isinstance(kind, type) and issubclass(kind, nested.Error)])
def test_errors_cross_processes_whole(kind):
    error = kind("a sentence", code=-18, place="path", offset=7, os_error=28, function="nested_f")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind and str(again) == str(error) and vars(again) == vars(error)
    assert getattr(again, "errno", 28) == 28 == again.os_error
    assert str(copy.copy(error)) == str(error)


def test_an_error_of_the_library_crosses_too(model):
    with pytest.raises(nested.ArgumentError) as caught:
        model.loss([[1, 97]])
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.status, again.place, again.function) == (
        "NESTED_E_RANGE", caught.value.place, "nested_model_evaluate")


# What an object says of itself

def test_every_object_tells_what_it_is(model, session):
    with nested.Context(threads=2, memory_limit=1 << 30) as context:
        assert repr(context) == "<nested.Context 2 threads, 0 of 1,073,741,824 bytes in use>"
    assert repr(model) == (f"<nested.Model {model.size:,} parameters, 2 layers of width 32, "
                           "3 levels, vocabulary 97>")
    told = repr(session)
    assert "at 45, learn='on', seed 3, 12 updates" in told and "bytes of its own" in told
    snapshot = session.snapshot()
    session.reset()
    assert "at 45, learn='on', seed 3, 12 updates" in repr(snapshot)
    assert repr(nested.Trainer(model, lr=0.5, optimizer="sgd")) == (
        "<nested.Trainer sgd, lr 0.5, schedule 'cosine', accumulate 1>")
    stop = nested.Cancel()
    assert repr(stop) == "<nested.Cancel not raised>"
    stop.raise_()
    assert repr(stop) == "<nested.Cancel raised>"
    assert "embed.weight [97, 32]" in repr(model.tensors)
    assert repr(session.level(0, 0)).startswith("Level(layer=0, level=0, chunk=8")


def test_every_closed_object_says_so(model, session):
    everything = [nested.Context(threads=1), model, session, session.snapshot(),
                  nested.Trainer(model), nested.Cancel()]
    for one in everything:
        one.close()
        assert one.closed and repr(one) == f"<nested.{type(one).__name__}, closed>"
    half_made = nested.Session.__new__(nested.Session)
    assert repr(half_made) == "<nested.Session, closed>"
    half_made.close()


def test_a_snapshot_of_a_closed_model_has_a_repr(model, session):
    snapshot = session.snapshot()
    model.close()
    assert repr(snapshot) == "<nested.Snapshot of a model that was closed>"
    assert "at 45" in repr(session) and len(session.levels) == 6
    assert session.feed(stream(9)).shape == (9, 97)


def test_repr_within_a_callback_does_not_raise(model):
    trainer, told = nested.Trainer(model), []
    trainer.fit(stream(300), 2, 2, 16, progress=lambda progress: told.append(repr(trainer)))
    assert told[0] == "<nested.Trainer NESTED_E_REENTRANT>"


# Worker processes

def work(model, part):
    """In a worker: a stream of its own on a model that came with the task."""
    session = model.session(learn="on", seed=part)
    session.read(stream(100, part))
    return session


def fail(model, part):
    return model.loss([[part, 97]])


def on_inherited(part):
    """On what fork() left behind: a status, never a crash or a hang."""
    try:
        INHERITED.loss(stream(20))
    except nested.StateError as failure:
        assert repr(INHERITED) == "<nested.Model NESTED_E_FORKED>"
        return failure.status
    return "worked"


INHERITED = None


def workers(start, count=2):
    return multiprocessing.get_context(start).Pool(count, initializer=signal.alarm, initargs=(60,))


@pytest.mark.parametrize("start", ["fork", "spawn", "forkserver"])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_models_and_sessions_travel_to_workers_and_back(model, start):
    if start not in multiprocessing.get_all_start_methods():
        pytest.skip(f"{sys.platform} has no {start}")
    model.loss(stream(64))  # the parent's threads run when it forks
    with workers(start) as pool:
        sessions = pool.starmap(work, [(model, part) for part in range(4)])
        with pytest.raises(nested.ArgumentError) as caught:
            pool.starmap(fail, [(model, 1)])
    assert caught.value.status == "NESTED_E_RANGE" and caught.value.place
    for part, session in enumerate(sessions):
        assert session.model is not model and session.position == 100
        assert goes_on(session) == goes_on(work(model, part))
    merged = nested.consolidate(model, sessions)
    assert not np.array_equal(merged.parameters, model.parameters)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("threads, outcome", [(2, "NESTED_E_FORKED"), (1, "worked")])
def test_what_a_forked_worker_inherits(threads, outcome):
    global INHERITED
    with nested.Context(threads=threads) as context:
        INHERITED = nested.Model(CONFIG, context=context)
        try:
            INHERITED.loss(stream(64))
            with workers("fork") as pool:
                assert pool.map(on_inherited, range(4)) == [outcome] * 4
        finally:
            INHERITED = None
            gc.collect()


def test_nothing_is_left_of_a_pickle(model, session):
    gc.collect()
    before = lib.nested_live_handles(0)
    data = pickle.dumps([session, session.snapshot(), copy.copy(session), copy.copy(model)])
    pickle.loads(data)
    gc.collect()
    assert lib.nested_live_handles(0) == before
