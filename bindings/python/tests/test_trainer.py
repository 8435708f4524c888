"""Training: steps, gradients, fit, resume."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import CONFIG, stream

import nested


def test_fit_learns_and_reports_progress(model):
    seen = []
    result = nested.Trainer(model, lr=1e-2, schedule={"type": "constant"}).fit(
        stream(4000), steps=60, batch=4, length=32, progress=seen.append)
    assert result.steps == 60 and result.skipped == 0
    assert result.last_loss < 0.9 * result.mean_loss < 0.9 * 4.6
    assert seen and seen[-1].total == 60 and seen[-1].stage == "fit"


def test_step_reports(model):
    trainer = nested.Trainer(model, lr=1e-3, schedule={"type": "constant"})
    rows = stream(64).reshape(2, 32)
    before = model.loss(rows)
    step = trainer.step(rows)
    assert step.applied and step.skipped is None and step.step == 1 and step.targets == 62
    assert step.loss == pytest.approx(before, rel=1e-5)
    assert step.gradient_norm > 0 and step.update_norm > 0 and step.learning_rate == 1e-3
    assert trainer.step(rows).step == 2


def test_options_come_back(model):
    trainer = nested.Trainer(model, optimizer="momentum", lr=0.5, clip=2)
    options = trainer.options
    assert options["optimizer"] == "momentum" and options["lr"] == 0.5 and options["clip"] == 2
    assert options["momentum"] == 0.9


def test_gradients_are_those_of_the_mean_loss(model):
    rows = stream(36).reshape(2, 18)
    trainer = nested.Trainer(model)
    trainer.accumulate(rows)
    gradients = trainer.gradients()
    assert set(gradients) == set(model.tensors)
    random = np.random.default_rng(0)
    for name in ("embed.weight", "blocks.0.mixer.q.weight", "blocks.1.cms.0.up.weight",
                 "blocks.0.mixer.memory.mem.w", "norm.weight"):
        weight = model.tensors[name]
        direction = random.normal(size=weight.shape).astype(np.float32)
        direction /= np.linalg.norm(direction)
        h = 1e-2
        model.tensors[name] = weight + h * direction
        up = model.loss(rows)
        model.tensors[name] = weight - h * direction
        down = model.loss(rows)
        model.tensors[name] = weight
        slope = float((gradients[name].astype(np.float64) * direction).sum())
        assert (up - down) / (2 * h) == pytest.approx(slope, rel=0.05, abs=2e-4), name


def test_accumulated_gradients_are_a_mean_over_targets(model):
    a, b = stream(40, 1).reshape(2, 20), stream(60, 2).reshape(3, 20)
    trainer = nested.Trainer(model)
    trainer.accumulate(a)
    first = trainer.gradients()
    trainer.zero()
    trainer.accumulate(b)
    second = trainer.gradients()
    trainer.zero()
    assert trainer.accumulate(a).targets == 38
    trainer.accumulate(b)
    both = trainer.gradients()
    for name in both:
        mean = (first[name] * 38 + second[name] * 57) / 95
        np.testing.assert_allclose(both[name], mean, rtol=1e-4, atol=1e-6)


def test_apply_after_accumulate_is_a_step():
    rows = stream(80).reshape(4, 20)
    one, other = (nested.Model(CONFIG, seed=5) for _ in range(2))
    whole, pieces = nested.Trainer(one), nested.Trainer(other)
    step = whole.step(rows)
    pieces.accumulate(rows)
    applied = pieces.apply()
    assert applied.loss == pytest.approx(step.loss)
    assert np.array_equal(one.parameters, other.parameters)


def test_apply_without_targets_is_skipped(model):
    before = model.parameters
    step = nested.Trainer(model).apply()
    assert not step.applied and step.skipped == "no targets"
    assert np.array_equal(model.parameters, before)


def test_gradients_out_and_in_are_one_big_batch():
    a, b = stream(40, 1).reshape(2, 20), stream(60, 2).reshape(3, 20)
    whole, *workers = (nested.Trainer(nested.Model(CONFIG, seed=6)) for _ in range(3))
    whole.step(np.concatenate([a, b]))
    for worker, rows in zip(workers, (a, b)):
        worker.accumulate(rows)
    gradients, targets = zip(*(worker.flat_gradient() for worker in workers))
    assert targets == (38, 57) and gradients[0].dtype == np.float32
    for worker in workers:
        worker.set_flat_gradient(gradients[0] + gradients[1], sum(targets))
        assert worker.apply().targets == 95
    first, second = (worker.model.parameters for worker in workers)
    assert np.array_equal(first, second)
    np.testing.assert_allclose(first, whole.model.parameters, rtol=1e-3, atol=1e-5)


def test_a_gradient_can_be_put_in_from_nothing(model):
    trainer = nested.Trainer(model, optimizer="sgd", lr=0.5, weight_decay=0, clip=0,
                             schedule={"type": "constant"})
    before = model.parameters
    gradient, targets = trainer.flat_gradient()
    assert targets == 0 and not gradient.any() and gradient.shape == (model.size,)
    at = model.tensors.info("norm.weight").flat_offset
    gradient[at] = 3
    trainer.set_flat_gradient(gradient.tolist(), 2)
    np.testing.assert_allclose(trainer.gradients()["norm.weight"][0], 1.5)
    assert trainer.apply().applied
    moved = np.flatnonzero(model.parameters != before)
    assert moved.tolist() == [at]
    np.testing.assert_allclose(model.parameters[at], before[at] - 0.5 * 1.5, rtol=1e-6)
    with pytest.raises(nested.ArgumentError) as caught:
        trainer.set_flat_gradient(gradient[:-1], 2)
    assert caught.value.status == "NESTED_E_SHAPE" and caught.value.place == "gradient"
    assert not trainer.flat_gradient()[0].any()
    trainer.set_flat_gradient(np.full(model.size, np.nan), 1)
    before = model.parameters
    assert trainer.apply().skipped == "gradient is not finite"
    assert np.array_equal(model.parameters, before)


def test_saved_trainer_resumes_bit_for_bit(tmp_path):
    text = stream(3000)
    model = nested.Model(CONFIG, seed=5)
    trainer = nested.Trainer(model, seed=3)
    trainer.fit(text, 7, 2, 24)
    model.save(tmp_path / "model.safetensors")
    trainer.save(tmp_path / "trainer.safetensors")
    trainer.fit(text, 5, 2, 24)

    resumed = nested.load(tmp_path / "model.safetensors")
    again = nested.Trainer(resumed)
    again.load(tmp_path / "trainer.safetensors")
    assert again.options == trainer.options
    again.fit(text, 5, 2, 24)
    assert np.array_equal(resumed.parameters, model.parameters)


def test_learning_rate_can_be_overridden(model):
    trainer = nested.Trainer(model, lr=1e-3, schedule={"type": "constant"})
    trainer.set_learning_rate(0.25)
    assert trainer.step(stream(20)).learning_rate == 0.25
    trainer.set_learning_rate(None)
    assert trainer.step(stream(20)).learning_rate == 1e-3


def test_allreduce_of_two_workers_is_one_big_batch():
    a, b = stream(40, 1).reshape(2, 20), stream(40, 2).reshape(2, 20)
    whole = nested.Model(CONFIG, seed=6)
    nested.Trainer(whole).step(np.concatenate([a, b]))

    parts = []
    recorder_model = nested.Model(CONFIG, seed=6)
    recorder = nested.Trainer(recorder_model)
    recorder.set_allreduce(lambda array: parts.append(array.copy()), bucket=1000)
    recorder.step(b)

    worker_model = nested.Model(CONFIG, seed=6)
    worker = nested.Trainer(worker_model)
    remaining = iter(parts)

    def add(array):
        array += next(remaining)
    worker.set_allreduce(add, bucket=1000)
    step = worker.step(a)
    assert step.targets == 76
    np.testing.assert_allclose(worker_model.parameters, whole.parameters, rtol=1e-3, atol=1e-5)


def test_a_failing_allreduce_changes_nothing(model):
    trainer = nested.Trainer(model)
    before = model.parameters

    def broken(array):
        raise ConnectionError("peer is gone")
    trainer.set_allreduce(broken)
    with pytest.raises(ConnectionError, match="gone"):
        trainer.step(stream(20))
    assert np.array_equal(model.parameters, before)
    trainer.set_allreduce(None)
    assert trainer.step(stream(20)).applied


def test_fit_needs_enough_text(model):
    with pytest.raises(nested.ArgumentError):
        nested.Trainer(model).fit(stream(10), 1, 1, 10)
