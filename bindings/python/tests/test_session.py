"""Sessions: reading, learning, scoring, generating, levels, consolidation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from conftest import CONFIG, stream

import nested


@pytest.mark.parametrize("learn", ["off", "memory", "on"])
def test_feed_in_pieces_is_feed_at_once(model, learn):
    tokens = stream(150)
    whole = model.session(learn=learn).feed(tokens)
    assert whole.shape == (150, 97) and whole.dtype == np.float32
    pieces = model.session(learn=learn)
    cuts = [0, 1, 8, 9, 40, 41, 100, 150]
    parts = [pieces.feed(tokens[a:b]) for a, b in zip(cuts, cuts[1:])]
    assert np.array_equal(np.concatenate(parts), whole)
    assert pieces.position == 150


def test_memory_mode_is_forward(model):
    tokens = stream(100)
    np.testing.assert_allclose(
        model.session().feed(tokens), model.forward(tokens), rtol=1e-4, atol=1e-4)


def test_read_reports_surprise(model):
    tokens = stream(90)
    session = model.session()
    first, second = session.read(tokens[:40]), session.read(tokens[40:])
    assert first.consumed == 40 and second.consumed == 50 and first.updates == 0
    mean = (first.loss * 39 + second.loss * 50) / 89
    assert mean == pytest.approx(model.loss(tokens), rel=1e-4)
    assert session.read([]).consumed == 0 and session.feed([]).shape == (0, 97)


def test_learning_moves_the_levels_at_their_periods(model):
    session = model.session(learn="on")
    before = model.parameters
    session.read(stream(33))
    levels = session.levels
    assert [(level.layer, level.level) for level in levels] == [
        (0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    assert [level.chunk for level in levels[:3]] == [8, 32, 0]
    assert [level.updates for level in levels[:3]] == [4, 1, 0]
    assert levels[0].last_update == 32 and levels[0].next_update == 40
    assert levels[2].next_update is None and levels[2].delta_norm == 0
    assert levels[0].delta_norm > 0 and levels[0].learning_rate == pytest.approx(0.05)
    assert session.updates == 10 and session.skipped == 0
    assert np.array_equal(model.parameters, before)


def test_learning_learns():
    model = nested.Model(CONFIG, seed=1)
    nested.Trainer(model, lr=1e-2, schedule={"type": "constant"}).fit(stream(3000), 40, 4, 32)
    tokens = (stream(4000, 5) * 7) % 97
    frozen, learning = model.session("memory"), model.session("on")
    for session in (frozen, learning):
        session.read(tokens[:3000])
    assert learning.read(tokens[3000:]).loss < frozen.read(tokens[3000:]).loss


def test_modes_can_be_switched(model):
    session = model.session("memory")
    session.read(stream(20))
    assert session.learn == "memory" and session.updates == 0
    session.learn = "on"
    session.read(stream(40))
    assert session.learn == "on" and session.updates > 0
    with pytest.raises(nested.ArgumentError):
        session.learn = "sometimes"
    with pytest.raises(nested.ArgumentError):
        model.session(learn="yes")


def test_score_is_the_log_probability_and_moves_nothing(model):
    tokens = stream(60)
    session = model.session()
    logits = session.feed(tokens[:30])
    scores = session.score(tokens[30:])
    assert scores.shape == (30,) and session.position == 30
    last = logits[-1].astype(np.float64)
    expected = last[tokens[30]] - np.log(np.exp(last).sum())
    assert scores[0] == pytest.approx(expected, rel=1e-4)
    assert -scores.mean() == pytest.approx(session.read(tokens[30:]).loss, rel=1e-5)
    fresh = model.session().score(tokens)
    assert math.isnan(fresh[0]) and np.isfinite(fresh[1:]).all()


def test_output_is_the_last_row(model):
    session = model.session()
    with pytest.raises(nested.StateError):
        session.output
    logits = session.feed(stream(10))
    assert np.array_equal(session.output, logits[-1])


def test_generate_greedy_follows_the_logits(model):
    session = model.session()
    session.read(stream(20))
    expected = int(session.output.argmax())
    tokens = session.generate(12)
    assert tokens.dtype == np.int32 and tokens[0] == expected and len(tokens) == 12
    assert session.position == 32 and session.finish == "length"


def test_generate_depends_on_seed_and_position_only(model):
    def sample(seed):
        session = model.session(seed=seed)
        session.read(stream(20))
        return session.generate(30, temperature=1.0, top_k=40, top_p=0.95).tolist()
    assert sample(1) == sample(1) != sample(2)


def test_generate_stops(model):
    session = model.session()
    session.read(stream(20))
    tokens = session.fork().generate(5)
    stopping = session.fork()
    assert stopping.generate(5, stop=[int(tokens[0])]).tolist() == [tokens[0]]
    assert stopping.finish == "stop"
    seen = []
    calling = session.fork()

    def on_token(token, logprob):
        seen.append((token, logprob))
        return len(seen) == 2
    calling.generate(5, on_token=on_token)
    assert [token for token, _ in seen] == tokens[:2].tolist()
    assert all(logprob <= 0 for _, logprob in seen) and calling.finish == "callback"


def test_generate_with_bias(model):
    session = model.session()
    session.read(stream(20))
    assert set(session.fork().generate(4, logit_bias={5: 1000.0})) == {5}
    bias = np.zeros(97)
    bias[6] = 1000
    assert set(session.fork().generate(4, logit_bias=bias)) == {6}
    with pytest.raises(nested.ArgumentError):
        session.generate(4, logit_bias={97: 1.0})
    with pytest.raises(nested.ArgumentError):
        session.generate(-1)
    with pytest.raises(nested.Error):
        session.generate(4, temperature=float("nan"))
    assert session.position == 20 and len(session.generate(0)) == 0


def test_generate_needs_a_first_token(model):
    with pytest.raises(nested.StateError):
        model.session().generate(1)


def test_fork_and_snapshot(model):
    tokens = stream(120)
    session = model.session(learn="on")
    session.read(tokens[:50])
    snapshot, fork = session.snapshot(), session.fork()
    expected = session.feed(tokens[50:])
    assert fork.position == 50 and np.array_equal(fork.feed(tokens[50:]), expected)
    session.restore(snapshot)
    assert session.position == 50 and np.array_equal(session.feed(tokens[50:]), expected)
    again = nested.Snapshot.from_bytes(model, snapshot.to_bytes())
    other = model.session()
    other.restore(again)
    assert other.learn == "on" and np.array_equal(other.feed(tokens[50:]), expected)


def test_snapshot_of_another_architecture(model):
    other = nested.Model({**CONFIG, "n_layers": 1})
    with pytest.raises(nested.MismatchError):
        other.session().restore(model.session().snapshot())


def test_reset_flush_freeze(model):
    tokens = stream(45)
    session = model.session(learn="on")
    first = session.feed(tokens)
    session.flush()
    assert session.level(0, 1).updates == 2 and session.level(0, 1).pending_norm == 0
    session.reset()
    assert session.position == 0 and np.array_equal(session.feed(tokens), first)
    assert session.level(0, 0).delta_norm > 0
    session.reset_levels(level=0)
    assert session.level(0, 0).delta_norm == 0 and session.level(0, 1).delta_norm > 0

    frozen = model.session(learn="on")
    frozen.freeze(level=0)
    frozen.freeze(layer=1)
    frozen.scale_learning_rate(2.0, level=1)
    frozen.read(tokens)
    assert [level.updates for level in frozen.levels] == [0, 1, 0, 0, 0, 0]
    assert frozen.level(0, 1).learning_rate == pytest.approx(0.1)
    assert frozen.level(0, 0).frozen and not frozen.level(0, 1).frozen
    frozen.thaw()
    frozen.read(tokens)
    assert frozen.level(0, 0).updates > 0
    with pytest.raises(nested.ArgumentError):
        frozen.level(5, 0)
    with pytest.raises(nested.ArgumentError):
        frozen.freeze(layer=-1)


def test_feed_many_equals_feeding_alone(model):
    sessions = [model.session(learn="on", seed=i) for i in range(5)]
    alone = [model.session(learn="on", seed=i) for i in range(5)]
    tokens = stream(5 * 40).reshape(40, 5)
    for row in tokens:
        together = nested.feed_many(sessions, row)
        for i, session in enumerate(alone):
            assert np.array_equal(session.feed(row[i:i + 1])[0], together[i])
    with pytest.raises(nested.Error):
        nested.feed_many([sessions[0], sessions[0]], [1, 2])
    with pytest.raises(nested.ArgumentError):
        nested.feed_many(sessions, [1])


def test_consolidation(model):
    session = model.session(learn="on")
    session.read(stream(100))
    before = model.parameters
    merged = nested.consolidate(model, [session])
    assert np.array_equal(model.parameters, before)
    level = session.level(0, 0)
    names = [n for n in model.tensors if n.startswith("blocks.0.cms.0.")]
    moved = math.sqrt(sum(
        float(((merged.tensors[n] - model.tensors[n]).astype(np.float64) ** 2).sum())
        for n in names))
    assert moved == pytest.approx(level.delta_norm, rel=1e-3)
    assert np.array_equal(merged.tensors["embed.weight"], model.tensors["embed.weight"])

    half = nested.consolidate(model, [session], strength=0.5, levels=[0])
    name = "blocks.0.cms.0.up.weight"
    np.testing.assert_allclose(
        half.tensors[name] - model.tensors[name],
        0.5 * (merged.tensors[name] - model.tensors[name]), rtol=1e-3, atol=1e-6)
    slow = "blocks.0.cms.1.up.weight"
    assert np.array_equal(half.tensors[slow], model.tensors[slow])

    other = model.session(learn="on")
    weighted = nested.consolidate(model, [session, other], weights=[1, 3])
    np.testing.assert_allclose(
        weighted.tensors[name] - model.tensors[name],
        0.25 * (merged.tensors[name] - model.tensors[name]), rtol=1e-3, atol=1e-6)


def test_consolidation_errors(model):
    other = nested.Model({**CONFIG, "n_layers": 1})
    with pytest.raises(nested.Error):
        nested.consolidate(model, [other.session()])
    with pytest.raises(nested.Error):
        nested.consolidate(model, [])
    with pytest.raises(nested.ArgumentError):
        nested.consolidate(model, [model.session()], weights=[1, 2])
    with pytest.raises(nested.ArgumentError):
        nested.consolidate(model, [model.session()], strength=0)
    with pytest.raises(nested.ArgumentError):
        nested.consolidate(model, [model.session()], levels=[40])
