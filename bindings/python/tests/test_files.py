"""Files: safetensors, round trips, damage, and kill -9 during a save."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import CONFIG, stream

import nested


def test_model_round_trip(model, tmp_path):
    path = tmp_path / "model.safetensors"
    model.save(path)
    again = nested.load(path)
    assert again.config == model.config and np.array_equal(again.parameters, model.parameters)
    model.save(str(path))
    nested.load(os.fsencode(path))


def test_the_format_is_plain_safetensors(model, tmp_path):
    path = tmp_path / "model.safetensors"
    model.save(path)
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + size])
    metadata = header.pop("__metadata__")
    assert all(isinstance(value, str) for value in metadata.values())
    assert any("d_model" in value for value in metadata.values())
    assert set(header) == set(model.tensors)
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        array = np.frombuffer(data[8 + size:][begin:end], "<f4").reshape(entry["shape"])
        assert entry["dtype"] == "F32" and np.array_equal(array, model.tensors[name])


def test_the_safetensors_package_reads_our_files(model, tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    model.save(tmp_path / "model.safetensors")
    session = model.session(learn="on")
    session.read(stream(50))
    session.save(tmp_path / "session.safetensors")
    tensors = safetensors.load_file(tmp_path / "model.safetensors")
    assert set(tensors) == set(model.tensors)
    for name, array in tensors.items():
        assert np.array_equal(array, model.tensors[name])
    assert safetensors.load_file(tmp_path / "session.safetensors")


@pytest.mark.parametrize("learn", ["memory", "on"])
def test_saved_session_continues_bit_for_bit(model, tmp_path, learn):
    tokens = stream(150)
    session = model.session(learn=learn, seed=7)
    session.read(tokens[:77])
    session.save(tmp_path / "session.safetensors")
    model.save(tmp_path / "model.safetensors")
    expected = session.feed(tokens[77:]), session.generate(10, temperature=1.0)

    again = nested.load(tmp_path / "model.safetensors").restore(tmp_path / "session.safetensors")
    assert again.position == 77 and again.learn == learn
    assert np.array_equal(again.feed(tokens[77:]), expected[0])
    assert np.array_equal(again.generate(10, temperature=1.0), expected[1])
    assert again.levels == session.levels


def test_session_of_another_architecture(model, tmp_path):
    model.session().save(tmp_path / "session.safetensors")
    with pytest.raises(nested.MismatchError):
        nested.Model({**CONFIG, "n_layers": 1}).restore(tmp_path / "session.safetensors")


def test_damaged_files_are_refused(model, tmp_path):
    good = tmp_path / "good.safetensors"
    model.save(good)
    data = good.read_bytes()
    bad = tmp_path / "bad.safetensors"
    damages = [data[:n] for n in (0, 1, 7, 8, 9, 100, 1000, len(data) // 2, len(data) - 1)]
    damages += [data + b"x", b"\xff" * 8 + data[8:], b"\0" * 8 + data[8:], b"not a model" * 100,
                data.replace(b'"F32"', b'"F99"', 1),
                data.replace(b"embed.weight", b"embed.weighs", 1)]
    for damage in damages:
        bad.write_bytes(damage)
        with pytest.raises(nested.Error):
            nested.load(bad)
        with pytest.raises(nested.Error):
            model.restore(bad)
        with pytest.raises(nested.Error):
            nested.Snapshot.from_bytes(model, damage)
    with pytest.raises(nested.Error):
        nested.load(tmp_path)  # a folder
    with pytest.raises(nested.Error):
        model.restore(good)  # a model is no session


def test_a_model_with_nan_is_refused(model, tmp_path):
    path = tmp_path / "model.safetensors"
    model.save(path)
    data = bytearray(path.read_bytes())
    data[-4:] = struct.pack("<f", float("nan"))
    path.write_bytes(data)
    with pytest.raises((nested.NumericError, nested.FileError)):  # or its checksum fails first
        nested.load(path)


_SAVER = """
import sys, nested
sys.path.insert(0, {tests!r})
from conftest import CONFIG
models = [nested.Model(CONFIG, seed=seed) for seed in (1, 2)]
print("ready", flush=True)
while True:
    for model in models:
        model.save({path!r})
"""


def test_a_delta_is_what_the_levels_learnt(model, tmp_path):
    path, tokens = tmp_path / "delta.safetensors", stream(120)
    session = model.session(learn="on", seed=9)
    session.read(tokens[:70])
    session.save(path, delta=True)
    session.save(tmp_path / "whole.safetensors")
    assert path.stat().st_size < (tmp_path / "whole.safetensors").stat().st_size
    snapshot = session.snapshot()
    assert snapshot.to_bytes(delta=True) == path.read_bytes() != snapshot.to_bytes()

    there = nested.Model.from_bytes(model.to_bytes())  # another machine that has the model
    fresh = there.restore(path)
    assert (fresh.position, fresh.learn, fresh.seed) == (0, "on", 9)
    levels = [level.delta_norm for level in session.levels]
    assert [level.delta_norm for level in fresh.levels] == levels and max(levels) > 0
    assert np.array_equal(nested.consolidate(there, [fresh]).parameters,
                          nested.consolidate(model, [session]).parameters)
    again = there.session()
    again.restore(nested.Snapshot.from_bytes(there, path.read_bytes()))
    assert np.array_equal(again.feed(tokens), fresh.feed(tokens))
    assert not np.array_equal(fresh.feed(tokens), there.session(learn="on").feed(tokens))


def test_a_delta_is_refused_by_other_weights(model, tmp_path):
    path = tmp_path / "delta.safetensors"
    session = model.session(learn="on")
    session.read(stream(50))
    session.save(path, delta=True)
    for other, place in ((nested.Model(CONFIG, seed=2), "nested.weights"),
                         (nested.Model({**CONFIG, "n_layers": 1}), "nested.fingerprint")):
        with pytest.raises(nested.MismatchError) as caught:
            other.restore(path)
        assert caught.value.place == place and caught.value.message
        with pytest.raises(nested.MismatchError):
            nested.Snapshot.from_bytes(other, path.read_bytes())
    model.restore(path)


CLASSIFIER = {
    "kind": "cms", "task": "classify", "inputs": 2, "classes": 2, "d_model": 16, "cms": {"levels": [{"chunk": 4}]}}


def test_a_delta_of_a_head_that_has_grown(tmp_path):
    model = nested.Model(CLASSIFIER)
    rows = np.random.default_rng(1).normal(size=(50, 2)).astype(np.float32)
    session = model.session()
    session.teach(inputs=rows, labels=np.arange(50) * 400)
    session.save(tmp_path / "delta", delta=True)
    restored = model.restore(tmp_path / "delta")
    assert restored.n_outputs == session.n_outputs == 49 * 400 + 1
    np.testing.assert_array_equal(restored.predict(inputs=rows), session.predict(inputs=rows))
    restored.feed(inputs=rows)
    restored.teach(inputs=rows[:1], labels=[30000])
    assert restored.n_outputs == 30001


def test_a_classifier_has_no_running_segment(tmp_path):
    """No session writes one, so a file that has one is not of a session: its targets would not be labels."""
    safetensors = pytest.importorskip("safetensors.numpy")
    model = nested.Model({**CONFIG, "task": "classify", "classes": 2})
    session = model.session(learn="on")
    session.feed(stream(10))
    session.save(tmp_path / "session")
    with (tmp_path / "session").open("rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    metadata = {k: v for k, v in header["__metadata__"].items() if k != "nested.checksum"}
    tensors = safetensors.load_file(tmp_path / "session")
    safetensors.save_file(tensors, tmp_path / "same", metadata)
    assert model.restore(tmp_path / "same").position == 10
    tensors["segment.recurrent"] = tensors["recurrent"]
    tensors["segment.tokens"] = np.full(5, CONFIG["vocab"] - 1, np.int32)
    tensors["segment.sampled"] = np.zeros(5, np.uint8)
    safetensors.save_file(tensors, tmp_path / "other", metadata)
    with pytest.raises(nested.FileError, match="segment"):
        model.restore(tmp_path / "other")


def test_kill_9_during_save_leaves_a_whole_file(tmp_path):
    path = tmp_path / "model.safetensors"
    versions = [nested.Model(CONFIG, seed=seed).parameters for seed in (1, 2)]
    nested.Model(CONFIG, seed=1).save(path)
    code = _SAVER.format(tests=os.path.dirname(__file__), path=str(path))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    random = np.random.default_rng(0)
    for _ in range(12):
        child = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment)
        assert child.stdout is not None and child.stdout.readline() == b"ready\n"
        time.sleep(random.uniform(0.0, 0.05))
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        found = nested.load(path).parameters
        assert any(np.array_equal(found, version) for version in versions)
