"""Continual classification."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _library
from ._errors import ArgumentError
from ._estimator import Estimator, floats

__all__ = ["Classifier"]


class Classifier(Estimator):
    """Learns labels of rows, keeps on learning, and takes up new labels at any time.

    Parameters
    ----------
    config : dict, optional
        Architecture.  By default a Continuum Memory System over vectors as long as the first rows;
        with a ``"vocab"`` the rows are tokens.
    epochs : int, default 10
        Passes of `fit` over the rows; `partial_fit` makes one.
    shuffle : bool, default True
        Whether the passes of `fit` are in random order.
    seed : int, default 0
        Of the initial weights and the order.

    Notes
    -----
    A `Session` of task "classify" does the work (`session_`, `model_`): each row is learnt from
    once, in order, by `Session.teach`.  Labels may be anything hashable and become the session's ids
    in the order in which they appear; ``classes_`` is sorted (where they can be compared), as
    scikit-learn's tools expect, and grows.  It fits into scikit-learn's pipelines and searches,
    which is not needed otherwise.  Rows should be scaled to about unit variance, as for any network.

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> X = random.normal(size=(300, 2))
    >>> y = np.where(X[:, 0] > 0, "right", "left")
    >>> classifier = nested.Classifier().fit(X, y)
    >>> classifier.score(X, y) > 0.9
    True
    >>> above = random.normal(size=(100, 2)) + [0, 8]
    >>> _ = classifier.partial_fit(above, ["above"] * 100)
    >>> classifier.classes_.tolist()
    ['above', 'left', 'right']
    >>> str(classifier.predict([[0, 8]])[0])
    'above'
    """

    _estimator_type = "classifier"
    _task = "classify"

    def fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None,
    ) -> Classifier:
        """Forgets everything and learns the rows, in `epochs` passes.

        Parameters
        ----------
        X : [B, N] floats, or [B, T] integers
            Rows.
        y : [B] labels
            Anything hashable.
        sample_weight : [B] floats, optional
            Weight of the loss of each row, 0 or more; by default all are 1.

        Returns
        -------
        self
        """
        labels = _labels(y)
        with self._all_or_nothing():
            self._begin(X, {"classes": max(1, len(dict.fromkeys(labels)))})
            self._ids: dict[Hashable, int] = {}
            self._learn(X, self._numbered(labels), sample_weight, self.epochs)
        return self

    def partial_fit(
        self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Classifier:
        """Learns the rows, one pass in their order, on top of what is there.

        Parameters
        ----------
        X : [B, N] floats, or [B, T] integers
            Rows.
        y : [B] labels
            Anything hashable; those that are new become classes.
        classes : [K] labels, optional
            Labels that are known beforehand; they get the next ids in this order.
        sample_weight : [B] floats, optional
            Weight of the loss of each row, 0 or more; by default all are 1.

        Returns
        -------
        self
        """
        labels, before = _labels(y), [] if classes is None else _labels(classes)
        with self._all_or_nothing():
            if self.__sklearn_is_fitted__():
                self._ids = dict(self._ids)
            else:
                self._begin(X, {"classes": max(1, len(dict.fromkeys([*before, *labels])))})
                self._ids = {}
            self._numbered(before)
            self._learn(X, self._numbered(labels), sample_weight, 1)
        return self

    @property
    def classes_(self) -> NDArray[Any]:
        """The labels, sorted: columns of `predict_proba`."""
        self.session_  # or StateError
        return _array(_sorted(self._ids))

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float32]:
        """Probabilities of the classes.

        Parameters
        ----------
        X : [B, N] floats, or [B, T] integers
            Rows.

        Returns
        -------
        float32 array [B, K]
            In the order of `classes_`; one that was named later and never seen has 0.
        """
        logits = self._answers(X)[:, : len(self._ids)]
        odds = np.exp(logits - logits.max(1, keepdims=True))
        result = np.zeros((len(odds), len(self._ids)), np.float32)
        result[:, : odds.shape[1]] = odds / odds.sum(1, keepdims=True)
        return result[:, [self._ids[label] for label in _sorted(self._ids)]]

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The most likely label of each row.

        Parameters
        ----------
        X : [B, N] floats, or [B, T] integers
            Rows.

        Returns
        -------
        array [B]
        """
        found: NDArray[Any] = self.classes_[self.predict_proba(X).argmax(1)]
        return found

    def score(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None,
    ) -> float:
        """Accuracy.

        Parameters
        ----------
        X : [B, N] floats, or [B, T] integers
            Rows.
        y : [B] labels
            What they are.
        sample_weight : [B] floats, optional
            By default all are 1.

        Returns
        -------
        float
            From 0 to 1.
        """
        found, labels = self.predict(X).tolist(), _labels(y)
        if len(found) != len(labels):
            raise ArgumentError(
                f"expected one label for each of {len(found)} rows, got {len(labels)}",
                code=_library.NESTED_E_SHAPE, place="y")
        right = np.array([a == b for a, b in zip(found, labels)], float)
        return float(np.average(right, weights=floats(sample_weight)))

    def _numbered(self, labels: Sequence[Hashable]) -> NDArray[np.int64]:
        if any(one != one for one in labels):
            raise ArgumentError("a label is NaN", code=_library.NESTED_E_NUMERIC, place="y")
        return np.array([self._ids.setdefault(one, len(self._ids)) for one in labels], np.int64)


def _labels(values: ArrayLike) -> list[Hashable]:
    """Labels as Python's own numbers and texts, which are equal however they came."""
    if isinstance(values, np.ndarray) or hasattr(values, "to_numpy"):
        array = np.asarray(values)
        if array.ndim == 2 and array.shape[1] == 1:
            array = array[:, 0]
        if array.ndim != 1:
            raise ArgumentError(
                f"expected one label for each row, got shape {list(array.shape)}",
                code=_library.NESTED_E_SHAPE, place="y")
        return list(array.tolist())
    return [one.item() if isinstance(one, np.generic) else one for one in values]  # type: ignore


def _sorted(labels: Iterable[Hashable]) -> list[Hashable]:
    """In their order; as they come where they have none."""
    try:
        return sorted(labels)  # type: ignore[type-var]
    except TypeError:
        return list(labels)


def _array(labels: list[Hashable]) -> NDArray[Any]:
    """An array of labels: of one type where they have one, else of objects."""
    if labels and len({type(one) for one in labels}) == 1 and isinstance(
            labels[0], (str, bytes, bool, int, float)):
        return np.array(labels)
    result = np.empty(len(labels), object)
    result[:] = labels
    return result
