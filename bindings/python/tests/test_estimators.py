"""Classifier and Regressor: scikit-learn's conventions, with and without scikit-learn."""

from __future__ import annotations

import copy
import importlib.util
import json
import pickle
import subprocess
import sys
import zipfile

import numpy as np
import pytest

import nested

needs_sklearn = pytest.mark.skipif(
    importlib.util.find_spec("sklearn") is None, reason="needs scikit-learn")


def clouds(n, centres=3, seed=0):
    """Points around corners, and the corner of each."""
    random = np.random.default_rng(seed)
    which = random.integers(0, centres, n)
    corners = np.array([[2, 0], [-2, 1], [0, -2], [3, 3]])
    return corners[which] + random.normal(0, 0.5, (n, 2)), which


def test_labels_are_what_they_were():
    X, which = clouds(200)
    for names in (np.array(["red", "green", "blue"]), np.array([30, 10, 20]), np.array([0.5, 1, 2]),
                  np.array([True, False, True])):
        y = names[which]
        fitted = nested.Classifier(epochs=3).fit(X, y)
        assert list(fitted.classes_) == sorted(set(y.tolist()))
        assert fitted.classes_.dtype.kind == names.dtype.kind
        assert fitted.score(X, y) > 0.95 and set(fitted.predict(X)) <= set(y)
        assert fitted.score(X, y.tolist()) == fitted.score(X, y)
    mixed = [(0, 1), None, "c"]
    fitted = nested.Classifier(epochs=3).fit(X, [mixed[i] for i in which])
    assert set(fitted.classes_) == set(mixed) and fitted.score(X, [mixed[i] for i in which]) > 0.95


def test_probabilities():
    X, y = clouds(200)
    fitted = nested.Classifier().partial_fit(X, y, classes=[2, 1, 0])
    assert list(fitted.classes_) == [0, 1, 2]
    p = fitted.predict_proba(X)
    assert p.shape == (200, 3) and np.allclose(p.sum(1), 1) and (p >= 0).all()
    assert (fitted.classes_[p.argmax(1)] == fitted.predict(X)).all()
    fitted.partial_fit(X, y, classes=["later"])
    assert fitted.classes_[-1] == "later" and (fitted.predict_proba(X)[:, -1] == 0).all()


def test_learning_goes_on_with_new_labels():
    X, y = clouds(300)
    late, at = clouds(150, 4, seed=1)
    fitted = nested.Classifier()
    for start in range(0, 300, 50):
        fitted.partial_fit(X[start:start + 50], y[start:start + 50])
    assert fitted.score(X, y) > 0.95 and len(fitted.classes_) == 3
    fitted.partial_fit(late, at)
    assert fitted.score(late, at) > 0.9 and fitted.session_.position == 450


def test_fit_forgets_and_repeats_itself():
    X, y = clouds(100)
    one = nested.Classifier(seed=5).fit(X, y)
    other = nested.Classifier(seed=5).fit(X[::-1], 1 - y[::-1] % 2).fit(X, y)
    assert (one.predict_proba(X) == other.predict_proba(X)).all()
    assert not (nested.Classifier(seed=6).fit(X, y).predict_proba(X) == one.predict_proba(X)).all()


def test_weights_count():
    X, y = clouds(300, 2)
    wrong = np.where(np.arange(300) % 2, y, 1 - y)
    fitted = nested.Classifier().fit(X, wrong, sample_weight=np.arange(300) % 2)
    assert fitted.score(X, y) > 0.95
    assert fitted.score(X, wrong, sample_weight=np.arange(300) % 2) > 0.95


def test_a_regressor_fits():
    random = np.random.default_rng(0)
    X = random.normal(size=(300, 3))
    y = X @ [1, -0.5, 0.2]
    one = nested.Regressor().fit(X, y)
    assert one.score(X, y) > 0.9 and one.predict(X).shape == (300,)
    two = nested.Regressor().fit(X, np.stack([y, -y], 1))
    assert two.score(X, np.stack([y, -y], 1)) > 0.9 and two.predict(X).shape == (300, 2)
    error = ((y - one.predict(X)) ** 2).mean()
    assert one.score(X, y) == pytest.approx(1 - error / y.var())
    before = one.score(X, -y)
    for _ in range(5):
        one.partial_fit(X, -y)
    assert one.score(X, -y) > max(before, 0.5)


def test_rows_of_tokens():
    random = np.random.default_rng(0)
    X = random.integers(0, 8, (200, 6))
    y = np.where((X == 3).any(1), "three", "none")
    config = {"kind": "hope", "vocab": 8, "d_model": 16, "n_layers": 1}
    fitted = nested.Classifier(config, epochs=2).fit(X, y)
    assert fitted.model_.vocab == 8 and fitted.predict(X).shape == (200,)


def fitted_pair():
    X, y = clouds(60)
    return X, [nested.Classifier(epochs=2).fit(X, np.array(["a", "b", "c"])[y]),
               nested.Regressor({"d_model": 8}, epochs=2).fit(X, X[:, 0])]


@pytest.mark.parametrize("through", [
    copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e)), "file"])
def test_estimators_are_carried_along(through, tmp_path):
    X, pair = fitted_pair()
    for one in pair:
        if through == "file":
            one.save(tmp_path / "e")
            other = type(one).load(tmp_path / "e")
            other.save(tmp_path / "again")
            assert (tmp_path / "e").read_bytes() == (tmp_path / "again").read_bytes()
        else:
            other = through(one)
        assert other.get_params() == one.get_params()
        answer = one.predict(X)
        assert (other.predict(X) == answer).all()
        y = answer if isinstance(one, nested.Regressor) else one.classes_[[0] * len(X)]
        other.partial_fit(X, y)
        one.partial_fit(X, y) if through is not copy.copy else None
        assert (other.predict(X) == one.predict(X)).all()


def test_files_that_are_none(tmp_path):
    X, (one, two) = fitted_pair()
    with pytest.raises(nested.NotFoundError):
        nested.Classifier.load(tmp_path / "missing")
    with pytest.raises(nested.NotFoundError):
        one.save(tmp_path / "no" / "folder")
    one.save(tmp_path / "e")
    good = (tmp_path / "e").read_bytes()
    with pytest.raises(nested.FileError):
        nested.Regressor.load(tmp_path / "e")
    for bad in (b"", good[: len(good) // 2], b"x" * 100, good.replace(b'"format": 1', b'"format": 7')):
        (tmp_path / "bad").write_bytes(bad)
        with pytest.raises(nested.FileError):
            nested.Classifier.load(tmp_path / "bad")
    with zipfile.ZipFile(tmp_path / "e") as archive:
        assert sorted(json.loads(archive.read("estimator.json"))["labels"]) == one.classes_.tolist()
    strange = nested.Classifier(epochs=1).fit(X, [(1, 2)] * len(X))
    with pytest.raises(nested.ArgumentError, match="pickle"):
        strange.save(tmp_path / "e")
    assert (tmp_path / "e").read_bytes() == good
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad", "e"]


def test_what_is_refused_changes_nothing():
    X, (one, _) = fitted_pair()
    before, classes = one.predict_proba(X), list(one.classes_)
    for wrong in (
            lambda: one.partial_fit(X[:, :1], ["z"] * 60), lambda: one.partial_fit(X, ["z"] * 59),
            lambda: one.partial_fit(X[0], ["z"]), lambda: one.fit(X * np.nan, ["z"] * 60),
            lambda: one.partial_fit(X[:0], []), lambda: one.fit(X, [["a", "b"]] * 60),
            lambda: one.partial_fit(X, ["z"] * 60, sample_weight=-np.ones(60)),
            lambda: one.set_params(lr=3), lambda: one.set_params(epochs=1).fit(X * np.inf, ["z"] * 60)):
        with pytest.raises((nested.Error, TypeError)):
            wrong()
        assert (one.predict_proba(X) == before).all() and list(one.classes_) == classes


def test_nothing_learnt_yet():
    for call in (lambda: nested.Classifier().predict([[1.0]]), lambda: nested.Classifier().classes_,
                 lambda: nested.Regressor().session_, lambda: nested.Classifier().save("x")):
        with pytest.raises(nested.StateError):
            call()
    assert not hasattr(nested.Classifier(), "n_features_in_")


def test_scikit_learn_is_not_imported():
    code = ("import sys, nested, numpy as np; nested.Classifier().fit(np.eye(3), 'abc'.split() * 3); "
            "sys.exit(any(name.split('.')[0] in ('sklearn', 'scipy') for name in sys.modules))")
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@needs_sklearn
def test_scikit_learns_tools_take_them():
    from sklearn.base import clone, is_classifier, is_regressor
    from sklearn.datasets import load_iris
    from sklearn.linear_model import SGDClassifier
    from sklearn.model_selection import GridSearchCV, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    assert is_classifier(nested.Classifier()) and is_regressor(nested.Regressor())
    twin = clone(nested.Classifier({"d_model": 8}, epochs=3))
    assert twin.get_params() == {"config": {"d_model": 8}, "epochs": 3, "shuffle": True, "seed": 0}
    X, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    ours = cross_val_score(make_pipeline(StandardScaler(), nested.Classifier()), X, names, cv=3)
    theirs = cross_val_score(
        make_pipeline(StandardScaler(), SGDClassifier(loss="log_loss", random_state=0)), X, names, cv=3)
    assert ours.mean() > max(0.9, theirs.mean() - 0.03), (ours, theirs)
    search = GridSearchCV(
        make_pipeline(StandardScaler(), nested.Classifier()), {"classifier__epochs": [1, 5]}, cv=2)
    assert search.fit(X, names).best_params_["classifier__epochs"] in (1, 5)
    numbers = cross_val_score(
        make_pipeline(StandardScaler(), nested.Regressor()), X[:, :3], X[:, 3],
        cv=3, scoring="r2")
    assert len(numbers) == 3 and np.isfinite(numbers).all()


@needs_sklearn
@pytest.mark.parametrize("name", [
    "check_parameters_default_constructible", "check_get_params_invariance", "check_set_params",
    "check_dict_unchanged", "check_fit_idempotent", "check_estimators_pickle",
    "check_readonly_memmap_input", "check_fit2d_1sample", "check_fit2d_1feature",
    "check_methods_subset_invariance", "check_methods_sample_order_invariance",
    "check_estimators_dtypes"])
@pytest.mark.parametrize("kind", [nested.Classifier, nested.Regressor])
def test_scikit_learns_own_checks(kind, name):
    """Those that are about behaviour, not about scikit-learn's base classes and private helpers."""
    from sklearn.utils import estimator_checks

    getattr(estimator_checks, name)(kind.__name__, kind(epochs=2))
