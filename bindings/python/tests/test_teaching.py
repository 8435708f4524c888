"""Vectors in, labels or numbers out: batches, teaching, predicting."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import nested

CONFIG = {"kind": "cms", "task": "classify", "inputs": 3, "classes": 2, "d_model": 8,
          "cms": {"levels": [{"chunk": 4}, {"chunk": 16}]}}
REGRESS = {**{k: v for k, v in CONFIG.items() if k != "classes"}, "task": "regress", "outputs": 2}
TOKENS = {"kind": "hope", "task": "classify", "vocab": 16, "classes": 2, "d_model": 16, "n_layers": 1}


def rows(n, seed=0):
    """Vectors, and which of two classes each is in."""
    inputs = np.random.default_rng(seed).normal(size=(n, 3))
    return inputs, (inputs.sum(1) > 0).astype(int)


@pytest.fixture
def classifier():
    return nested.Model(CONFIG, seed=1)


@pytest.fixture
def regression():
    return nested.Model(REGRESS, seed=1)


def test_what_a_model_of_vectors_tells(classifier, regression):
    assert (classifier.vocab, classifier.n_inputs, classifier.n_outputs) == (0, 3, 2)
    assert regression.n_outputs == 2
    assert "3 inputs, 2 outputs" in repr(classifier)
    assert nested.Model({"vocab": 7, "d_model": 8, "n_layers": 1}).n_outputs == 7


@pytest.mark.parametrize("make", [
    np.float16, np.float32, np.float64, np.longdouble, ">f4", np.int8, bool,
    lambda x: np.asarray(x, np.float64)[:, ::-1][:, ::-1], lambda x: x.tolist(),
    lambda x: np.asfortranarray(x, np.float32)], ids=str)
def test_any_numbers_are_inputs(classifier, make):
    inputs = np.random.default_rng(0).integers(0, 2, (4, 3))
    made = make(inputs) if callable(make) and not isinstance(make, type) else inputs.astype(make)
    assert (classifier.forward(inputs=made) == classifier.forward(inputs=inputs)).all()


def test_shapes_of_answers(classifier, regression):
    inputs, _ = rows(6)
    session = classifier.session()
    session.teach(inputs=inputs, labels=[0, 1] * 3)
    for answer in (classifier.forward, session.predict):
        whole = answer(inputs=inputs)
        assert whole.shape == (6, 2) and whole.dtype == np.float32
        assert (answer(inputs=inputs[:, None]) == whole).all()
        assert answer(inputs=inputs[0]).shape == (2,) and (answer(inputs=inputs[0]) == whole[0]).all()
        assert answer(inputs=inputs.reshape(2, 3, 3)).shape == (2, 2)
    assert regression.forward(inputs=inputs).shape == (6, 2)


def test_evaluate_is_the_cross_entropy_and_the_accuracy(classifier):
    inputs, labels = rows(20)
    with nested.Trainer(classifier, lr=0.01, schedule={"type": "constant"}) as trainer:
        for _ in range(3):
            assert trainer.step(inputs=inputs, labels=labels).applied
    logits = classifier.forward(inputs=inputs).astype(float)
    logp = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    found = classifier.evaluate(inputs=inputs, labels=labels)
    assert found.loss == pytest.approx(-logp[np.arange(20), labels].mean(), rel=1e-5)
    assert found.accuracy == pytest.approx((logits.argmax(1) == labels).mean())
    assert found.targets == 20 and found.perplexity == pytest.approx(np.exp(found.loss))
    weights = np.r_[np.ones(5), np.zeros(15)]
    some = classifier.evaluate(inputs=inputs, labels=labels, weights=weights)
    assert some.targets == 5 and some.loss == pytest.approx(
        classifier.evaluate(inputs=inputs[:5], labels=labels[:5]).loss, rel=1e-5)
    unknown = np.where(weights > 0, labels, nested.IGNORE)
    assert classifier.evaluate(inputs=inputs, labels=unknown) == some
    assert classifier.loss(inputs=inputs, labels=labels) == found.loss


def test_evaluate_is_half_the_squared_error(regression):
    inputs, _ = rows(20)
    wanted = np.random.default_rng(1).normal(size=(20, 2))
    found = regression.evaluate(inputs=inputs, labels=wanted)
    error = wanted - regression.forward(inputs=inputs)
    assert found.loss == pytest.approx(0.5 * (error ** 2).sum(1).mean(), rel=1e-5)
    assert np.isnan(found.perplexity) and np.isnan(found.accuracy)
    with nested.Trainer(regression, lr=0.01) as trainer:
        assert trainer.accumulate(inputs=inputs, labels=wanted) .loss == pytest.approx(found.loss)
        assert trainer.apply().applied
    assert regression.loss(inputs=inputs, labels=wanted) < found.loss


def test_a_label_for_each_position(classifier):
    inputs, labels = rows(12)
    inputs, labels = inputs.reshape(3, 4, 3), labels.reshape(3, 4)
    assert classifier.evaluate(inputs=inputs, labels=labels).targets == 12
    assert classifier.evaluate(inputs=inputs, labels=labels, weights=np.ones((3, 4))).targets == 12
    assert classifier.evaluate(inputs=inputs, labels=labels[:, 0]).targets == 3
    session = classifier.session()
    session.teach(inputs=inputs, labels=labels)
    assert session.position == 12


def test_teaching_learns_and_leaves_the_model(classifier):
    inputs, labels = rows(300)
    weights = classifier.parameters
    session = classifier.session()
    first = session.teach(inputs=inputs, labels=labels)
    again = session.teach(inputs=inputs, labels=labels)
    assert again.loss < first.loss and again.accuracy > 0.9
    assert (session.predict(inputs=inputs).argmax(1) == labels).mean() > 0.9
    assert session.position == 600 and session.updates > 0
    assert (classifier.parameters == weights).all()
    wiser = nested.consolidate(classifier, [session])
    assert wiser.evaluate(inputs=inputs, labels=labels).accuracy > 0.9


def test_how_rows_are_cut_into_calls_changes_nothing(classifier):
    inputs, labels = rows(50)
    whole, pieces = classifier.session(), classifier.session()
    whole.teach(inputs=inputs, labels=labels)
    for at in (0, 1, 8, 20):
        end = {0: 1, 1: 8, 8: 20, 20: 50}[at]
        pieces.teach(inputs=inputs[at:end], labels=labels[at:end])
    assert (whole.predict(inputs=inputs) == pieces.predict(inputs=inputs)).all()


def test_new_labels_make_the_head_grow(classifier):
    inputs, _ = rows(10)
    session = classifier.session()
    assert session.n_outputs == 2
    before = session.predict(inputs=inputs)
    session.teach(inputs=inputs[:1], labels=[4])
    assert session.n_outputs == 5 and session.predict(inputs=inputs).shape == (10, 5)
    assert before.shape == (10, 2) and classifier.n_outputs == 2
    assert session.feed(inputs=inputs).shape == (10, 5) and session.output.shape == (5,)
    with pytest.raises(nested.ArgumentError):
        session.teach(inputs=inputs[:1], labels=[1 << 24])
    with pytest.raises(nested.ArgumentError):
        session.teach(inputs=inputs[:1], labels=[-1])
    assert session.n_outputs == 5


@pytest.mark.parametrize("through", [
    copy.copy, copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s)), "file"])
def test_a_session_with_a_grown_head_is_carried_along(classifier, through, tmp_path):
    inputs, labels = rows(30)
    session = classifier.session(learn="on", seed=3)
    session.teach(inputs=inputs, labels=labels * 3)
    if through == "file":
        session.save(tmp_path / "s")
        other = classifier.restore(tmp_path / "s")
    else:
        other = through(session)
    assert other.n_outputs == 4 and other.position == 30
    assert (other.predict(inputs=inputs) == session.predict(inputs=inputs)).all()
    for one in (session, other):
        one.teach(inputs=inputs, labels=labels)
    assert (other.predict(inputs=inputs) == session.predict(inputs=inputs)).all()


def test_the_head_is_a_level(classifier):
    inputs, labels = rows(32)
    session = classifier.session()
    session.teach(inputs=inputs, labels=labels)
    *levels, head = session.levels
    assert [level.chunk for level in levels] == [4, 16]
    assert (head.layer, head.level, head.chunk, head.updates) == (len(levels) and 1, 0, 1, 32)
    session.reset_levels(head.layer, head.level)
    assert session.level(head.layer, 0).delta_norm == 0


def test_a_stream_of_vectors(classifier):
    inputs, _ = rows(20)
    whole, pieces = classifier.session(), classifier.session()
    answers = whole.feed(inputs=inputs)
    assert answers.shape == (20, 2) and (whole.output == answers[-1]).all()
    assert (np.concatenate([pieces.feed(inputs=inputs[:7]), pieces.feed(inputs=inputs[7:])])
            == answers).all()
    assert pieces.read(inputs=inputs[0]).consumed == 1 and pieces.position == 21
    assert whole.read(inputs=np.empty((0, 3))).consumed == 0


def test_tokens_have_labels_too():
    model = nested.Model(TOKENS)
    labels = np.arange(40) % 2
    tokens = np.random.default_rng(0).integers(0, 8, (40, 5)) + 8 * labels[:, None]
    assert model.forward(tokens).shape == (40, 2) and model.forward(tokens[0]).shape == (2,)
    with nested.Trainer(model, lr=1e-2) as trainer:
        trainer.step(tokens, labels=labels)
    session = model.session()
    session.teach(tokens, labels=labels)
    assert session.position == 200 and session.predict(tokens).shape == (40, 2)
    for _ in range(4):
        session.teach(tokens, labels=labels)
    assert session.teach(tokens, labels=labels).accuracy > 0.9


@pytest.mark.parametrize("call, kind", [
    (lambda m, s, x: m.forward(), nested.ArgumentError),
    (lambda m, s, x: m.forward([1, 2], inputs=x), nested.ArgumentError),
    (lambda m, s, x: m.forward([[1, 2]]), nested.Error),
    (lambda m, s, x: m.forward(inputs=x[:, :2]), nested.ArgumentError),
    (lambda m, s, x: m.forward(inputs=x[None, None]), nested.ArgumentError),
    (lambda m, s, x: m.forward(inputs=3.0), nested.ArgumentError),
    (lambda m, s, x: m.forward(inputs=["a"]), nested.ArgumentError),
    (lambda m, s, x: m.forward(inputs=x * np.nan), nested.NumericError),
    (lambda m, s, x: m.evaluate(inputs=x, labels=[0, 1]), nested.ArgumentError),
    (lambda m, s, x: m.evaluate(inputs=x, labels=[0.5] * 6), nested.ArgumentError),
    (lambda m, s, x: m.evaluate(inputs=x, labels=[9] * 6), nested.ArgumentError),
    (lambda m, s, x: m.evaluate(inputs=x, labels=[0] * 6, weights=[1, 2]), nested.ArgumentError),
    (lambda m, s, x: s.teach(inputs=x, labels=[0] * 6, weights=[-1] * 6), nested.Error),
    (lambda m, s, x: s.teach(inputs=x, labels=[[0], [1]]), nested.ArgumentError),
    (lambda m, s, x: s.feed([1, 2]), nested.Error),
    (lambda m, s, x: s.feed(), nested.ArgumentError),
    (lambda m, s, x: s.feed(inputs=x[None]), nested.ArgumentError),
    (lambda m, s, x: s.feed(inputs=x[:, :2]), nested.ArgumentError),
    (lambda m, s, x: s.generate(3), nested.Error)])
def test_what_does_not_fit_is_refused_and_changes_nothing(classifier, call, kind):
    inputs, labels = rows(6)
    session = classifier.session()
    session.teach(inputs=inputs, labels=labels)
    before = session.snapshot().to_bytes()
    with pytest.raises(kind):
        call(classifier, session, inputs)
    assert session.snapshot().to_bytes() == before


def test_teaching_needs_a_task(model):
    with pytest.raises(nested.UnsupportedError):
        model.session().teach([[1, 2]], labels=[0])
    with pytest.raises(nested.UnsupportedError):
        model.session().feed(inputs=[[1.0, 2.0]])


def test_cancelled_teaching_keeps_the_rows_before(classifier):
    inputs, labels = rows(40)
    stop, session = nested.Cancel(), classifier.session()
    stop.raise_()
    with pytest.raises(nested.Cancelled):
        session.teach(inputs=inputs, labels=labels, cancel=stop)
    assert session.position == 0
    stages = []
    session.teach(inputs=inputs, labels=labels, progress=lambda p: stages.append(p.stage))
    assert session.position == 40 and set(stages) == {"teach"}
