"""Models: configuration, tensors, forward, loss, files."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from conftest import CONFIG, stream

import nested


def test_config_comes_back_complete(model):
    config = model.config
    assert config["kind"] == "hope" and config["vocab"] == 97 and config["n_heads"] == 2
    assert config["memory"]["objective"] in ("l2", "dot")
    assert [level["chunk"] for level in config["cms"]["levels"]] == [8, 32, 0]
    assert nested.full_config(config) == config == nested.full_config(CONFIG)
    again = nested.Model(config, seed=1)
    assert again.fingerprint == model.fingerprint
    assert np.array_equal(again.parameters, model.parameters)


def test_schema_is_a_json_schema():
    assert "properties" in nested.config_schema()
    assert "properties" in nested.trainer_schema()


def test_presets():
    config = nested.full_config({"preset": "hope-1m", "vocab": 256})
    with nested.Model(config) as model:
        assert 0.5e6 < model.size < 2e6
    assert nested.full_config({"preset": "paper", "vocab": 256})["memory"]["outer_rule"] == "decay"


def test_seed_decides_the_weights():
    a, b, c = (nested.Model(CONFIG, seed=s).parameters for s in (3, 3, 4))
    assert np.array_equal(a, b) and not np.array_equal(a, c)


def test_tensors_are_a_mapping_of_copies(model):
    tensors = model.tensors
    assert tensors["embed.weight"].shape == (97, 32)
    assert tensors["blocks.1.cms.2.up.weight"].shape == (32, 32)
    assert tensors["blocks.0.mixer.memory.mem.w"].shape == (2, 16, 16)
    assert len(tensors) == len(list(tensors)) and "norm.weight" in tensors
    assert sum(tensor.size for tensor in tensors.values()) == model.size
    copied = tensors["norm.weight"]
    copied[:] = 7
    assert not (model.tensors["norm.weight"] == 7).any()
    with pytest.raises(KeyError):
        tensors["nothing"]
    info = tensors.info("blocks.1.cms.2.up.weight")
    assert (info.layer, info.level) == (1, 2)
    flat = model.parameters[info.flat_offset:][:32 * 32].reshape(32, 32)
    assert np.array_equal(flat, tensors["blocks.1.cms.2.up.weight"])


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", ">f4", "int64"])
def test_assigning_a_tensor(model, dtype):
    before = model.forward(stream(20))
    value = (np.arange(32) % 5 - 2).astype(dtype)
    version = model.version
    model.tensors["norm.weight"] = value
    assert np.array_equal(model.tensors["norm.weight"], value.astype(np.float32))
    assert model.version > version
    assert not np.array_equal(model.forward(stream(20)), before)


def test_assigning_takes_strided_arrays(model):
    value = np.random.default_rng(0).normal(size=(32, 97)).astype(np.float32)
    model.tensors["embed.weight"] = value.T
    assert np.array_equal(model.tensors["embed.weight"], value.T)


def test_assigning_the_wrong_thing(model):
    before = model.parameters
    with pytest.raises(nested.ArgumentError) as caught:
        model.tensors["norm.weight"] = np.zeros(31)
    assert caught.value.place == "norm.weight"
    with pytest.raises(nested.NumericError):
        model.tensors["norm.weight"] = np.full(32, np.nan)
    with pytest.raises(nested.ArgumentError):
        model.tensors["norm.weight"] = ["a"] * 32
    assert np.array_equal(model.parameters, before)


def test_parameters_round_trip(model):
    flat = model.parameters
    other = nested.Model(CONFIG, seed=9)
    other.parameters = flat
    assert np.array_equal(other.forward(stream(30)), model.forward(stream(30)))
    with pytest.raises(nested.Error):
        other.parameters = flat[:-1]


def test_forward_shapes(model):
    rows = stream(48).reshape(3, 16)
    logits = model.forward(rows)
    assert logits.shape == (3, 16, 97) and logits.dtype == np.float32
    assert np.isfinite(logits).all()
    assert model.forward(rows[0]).shape == (16, 97)
    np.testing.assert_allclose(model.forward(rows[1]), logits[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("convert", [
    lambda r: r.astype(np.int64), lambda r: r.astype(np.uint8), lambda r: r.tolist(),
    lambda r: [bytes(row.tolist()) for row in r], lambda r: np.asfortranarray(r),
    lambda r: np.repeat(r, 2, axis=1)[:, ::2], lambda r: r.astype(">i4")])
def test_any_integers_are_tokens(model, convert):
    rows = stream(40).reshape(2, 20)
    assert np.array_equal(model.forward(convert(rows)), model.forward(rows))


def test_loss_is_the_mean_negative_log_likelihood(model):
    rows = stream(48).reshape(3, 16)
    logits = model.forward(rows).astype(np.float64)
    logp = logits - np.log(np.exp(logits - logits.max(-1, keepdims=True)).sum(-1, keepdims=True)) \
        - logits.max(-1, keepdims=True)
    expected = -np.take_along_axis(logp[:, :-1], rows[:, 1:, None].astype(int), -1).mean()
    assert model.loss(rows) == pytest.approx(expected, rel=1e-5)
    result = model.evaluate(rows)
    assert result.targets == 45 and result.perplexity == pytest.approx(np.exp(result.loss))


def test_targets_can_be_given_and_ignored(model):
    rows = stream(32).reshape(2, 16)
    targets = np.full((2, 16), nested.IGNORE)
    targets[:, :-1] = rows[:, 1:]
    assert model.loss(rows, targets=targets) == pytest.approx(model.loss(rows), rel=1e-6)
    targets[0] = nested.IGNORE
    assert model.evaluate(rows, targets=targets).targets == 15
    with pytest.raises(nested.ArgumentError):
        model.loss(rows, targets=targets[:, :-1])


def test_weights_of_the_loss(model):
    rows = stream(32).reshape(2, 16)
    weights = np.ones((2, 16))
    assert model.loss(rows, weights=weights) == pytest.approx(model.loss(rows), rel=1e-6)
    weights[0] = 0
    assert model.loss(rows, weights=weights) == pytest.approx(model.loss(rows[1]), rel=1e-5)
    with pytest.raises(nested.Error):
        model.loss(rows, weights=-weights)
    with pytest.raises(nested.ArgumentError):
        model.loss(rows, weights=weights[:, :-1])


def test_clone_is_independent(model):
    twin = model.clone()
    assert np.array_equal(twin.parameters, model.parameters)
    twin.tensors["norm.weight"] = np.zeros(32)
    assert (model.tensors["norm.weight"] == 1).all()


def test_number_of_threads_changes_nothing():
    rows = stream(4 * 70).reshape(4, 70)
    results = []
    for threads in (1, 2, 3):
        with nested.Context(threads=threads) as context, \
                nested.Model(CONFIG, seed=2, context=context) as model:
            nested.Trainer(model).step(rows)
            results.append((model.forward(rows), model.parameters))
    for logits, weights in results[1:]:
        assert np.array_equal(logits, results[0][0]) and np.array_equal(weights, results[0][1])


def test_memory_of_a_context():
    with nested.Context(threads=1) as context, nested.Model(CONFIG, context=context):
        stats = context.memory
        assert 0 < stats.in_use <= stats.peak and stats.allocations > 0 and stats.limit == 0


def test_copying_the_config_leaves_the_callers_alone(model):
    before = copy.deepcopy(CONFIG)
    nested.Model(CONFIG)
    assert before == CONFIG
