"""Failures are exceptions that carry status, place and message."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest
from conftest import CONFIG, stream

import nested


@pytest.mark.parametrize("config, place", [
    ({"kind": "hope", "vocab": 10, "d_mdel": 8}, "d_mdel"),
    ({"kind": "hope", "vocab": -1}, "/vocab"),
    ({"kind": "hope", "vocab": 10, "memory": {"memory_chunk": 0}}, "/memory/memory_chunk"),
    ({"kind": "hope", "vocab": 10, "cms": {"levels": [{"chunk": "x"}]}}, "/cms/levels/0/chunk"),
    ({"kind": "hope", "vocab": 10, "d_model": 64, "head_dim": 16, "n_heads": 3}, "/"),
])
def test_config_errors_name_the_place(config, place):
    with pytest.raises(nested.ConfigError) as caught:
        nested.Model(config)
    error = caught.value
    assert error.status == "NESTED_E_CONFIG"
    assert place in error.place
    assert error.message and "\n" not in error.message
    assert isinstance(error, ValueError) and isinstance(error, nested.Error)


def test_trainer_option_errors_name_the_place(model):
    with pytest.raises(nested.ConfigError) as caught:
        nested.Trainer(model, learning_rate=1)
    assert "learning_rate" in caught.value.place + caught.value.message
    nested.Trainer(model).close()  # the failed one holds nothing


def test_config_values_that_json_lacks_are_refused():
    with pytest.raises(ValueError):
        nested.Model({"kind": "hope", "vocab": 10, "norm_eps": float("nan")})
    with pytest.raises(TypeError):
        nested.Model({"kind": "hope", "vocab": object()})
    with pytest.raises(TypeError):
        nested.Model("hope")


def test_token_out_of_range(model):
    with pytest.raises(nested.ArgumentError) as caught:
        model.forward([[1, 97]])
    assert caught.value.status == "NESTED_E_RANGE" and caught.value.place
    with pytest.raises(nested.ArgumentError):
        model.forward([[-1, 2]])
    with pytest.raises(nested.ArgumentError):
        model.loss(np.array([[2**40, 1]]))


@pytest.mark.parametrize("tokens, error", [
    ("text", "NESTED_E_DTYPE"), ([[0.5, 1.0]], "NESTED_E_DTYPE"),
    ([[True, False]], "NESTED_E_DTYPE"),
    ([[[1]]], "NESTED_E_SHAPE"), ([[1, 2], [3]], "NESTED_E_SHAPE"),
    ([b"ab", b"c"], "NESTED_E_SHAPE"),
])
def test_what_is_no_batch_of_tokens(model, tokens, error):
    with pytest.raises(nested.ArgumentError) as caught:
        model.loss(tokens)
    assert caught.value.status == error


def test_empty_batch(model):
    with pytest.raises(nested.Error):
        model.forward(np.zeros((0, 4), int))
    with pytest.raises(nested.Error):
        model.forward(np.zeros((2, 0), int))


def test_missing_file(tmp_path):
    with pytest.raises(nested.NotFoundError) as caught:
        nested.load(tmp_path / "missing.safetensors")
    assert isinstance(caught.value, FileNotFoundError) and isinstance(caught.value, OSError)


def test_unwritable_path_carries_errno(model, tmp_path):
    with pytest.raises(nested.FileError) as caught:
        model.save(tmp_path / "no" / "such" / "folder.safetensors")
    assert caught.value.errno or isinstance(caught.value, nested.NotFoundError)


def test_memory_limit():
    with nested.Context(threads=1, memory_limit=100_000) as context:
        with pytest.raises(nested.MemoryLimitError):
            nested.Model({"kind": "hope", "vocab": 256}, context=context)


def test_closed_objects_say_so(model):
    session = model.session()
    session.close()
    session.close()
    assert session.closed and "closed" in repr(session)
    with pytest.raises(nested.StateError) as caught:
        session.read(stream(4))
    assert caught.value.status == "NESTED_E_HANDLE"


def test_release_in_any_order():
    context = nested.Context(threads=2)
    model = nested.Model(CONFIG, context=context)
    session = model.session(learn="on")
    snapshot = session.snapshot()
    context.close()
    model.close()
    session.read(stream(20))
    session.restore(snapshot)
    snapshot.close()
    session.close()


def test_release_from_another_thread(model):
    box = [model.session() for _ in range(20)]
    thread = threading.Thread(target=lambda: (box.clear(), gc.collect()))
    thread.start()
    thread.join()


def test_one_trainer_per_model(model):
    trainer = nested.Trainer(model)
    with pytest.raises(nested.StateError) as caught:
        nested.Trainer(model)
    assert caught.value.status == "NESTED_E_EXISTS"
    trainer.close()
    nested.Trainer(model)


def test_callback_exceptions_come_back(model):
    def broken(*_):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        nested.Trainer(model).fit(stream(500), 100, 2, 16, progress=broken)
    session = model.session()
    session.read(stream(8))
    with pytest.raises(KeyError, match="mine"):
        session.generate(20, on_token=broken)
    assert 8 <= session.position <= 9


def test_log_reaches_python():
    records = []
    with nested.Context(threads=1, log=records.append, log_level="debug") as context:
        nested.Model(CONFIG, context=context).close()
    assert all(r.level in ("error", "warn", "info", "debug") and r.message for r in records)


def test_call_from_a_callback_on_the_same_object(model):
    session = model.session()
    session.read(stream(8))
    with pytest.raises(nested.StateError) as caught:
        session.generate(4, on_token=lambda token, logprob: session.read(stream(2)))
    assert caught.value.status == "NESTED_E_REENTRANT"
