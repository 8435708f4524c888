"""Continual regression."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._arrays import float_array
from ._estimator import Estimator, floats

__all__ = ["Regressor"]


class Regressor(Estimator):
    """Learns numbers of rows, and keeps on learning.

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
    A `Session` of task "regress" does the work (`session_`, `model_`).  Rows and numbers should be
    scaled to about unit variance, as for any network.

    Examples
    --------
    >>> X = np.random.default_rng(0).normal(size=(300, 2))
    >>> y = X[:, 0] - 0.5 * X[:, 1]
    >>> nested.Regressor().fit(X, y).score(X, y) > 0.9
    True
    """

    _estimator_type = "regressor"
    _task = "regress"

    def fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None,
    ) -> Regressor:
        """Forgets everything and learns the rows, in `epochs` passes.

        Parameters
        ----------
        X : [B, N] floats, or [B, T] integers
            Rows.
        y : [B] or [B, M] floats
            NaN is not known.
        sample_weight : [B] floats, optional
            Weight of the loss of each row, 0 or more; by default all are 1.

        Returns
        -------
        self
        """
        numbers = np.atleast_1d(float_array(y, "y"))
        with self._all_or_nothing():
            self._shaped(X, numbers)
            self._learn(X, numbers.reshape(len(numbers), -1), sample_weight, self.epochs)
        return self

    def partial_fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None,
    ) -> Regressor:
        """Learns the rows, one pass in their order, on top of what is there.

        Parameters
        ----------
        X : [B, N] floats, or [B, T] integers
            Rows.
        y : [B] or [B, M] floats
            NaN is not known.
        sample_weight : [B] floats, optional
            Weight of the loss of each row, 0 or more; by default all are 1.

        Returns
        -------
        self
        """
        numbers = np.atleast_1d(float_array(y, "y"))
        with self._all_or_nothing():
            if not self.__sklearn_is_fitted__():
                self._shaped(X, numbers)
            self._learn(X, numbers.reshape(len(numbers), -1), sample_weight, 1)
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.float32]:
        """The numbers of each row.

        Parameters
        ----------
        X : [B, N] floats, or [B, T] integers
            Rows.

        Returns
        -------
        float32 array [B], or [B, M]
            Shaped as the first `y`.
        """
        answers = self._answers(X)
        return answers[:, 0] if self._flat else answers

    def score(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None,
    ) -> float:
        """Coefficient of determination, R squared: the mean over the outputs.

        Parameters
        ----------
        X : [B, N] floats, or [B, T] integers
            Rows.
        y : [B] or [B, M] floats
            What they are.
        sample_weight : [B] floats, optional
            By default all are 1.

        Returns
        -------
        float
            1 is perfect, 0 is as good as the mean of `y`.
        """
        wanted = np.asarray(y, np.float64).reshape(len(np.asarray(y)), -1)
        weights = floats(sample_weight)
        error = np.average(
            (wanted - self.predict(X).reshape(wanted.shape)) ** 2, axis=0, weights=weights)
        mean = np.average(wanted, axis=0, weights=weights)
        spread = np.average((wanted - mean) ** 2, axis=0, weights=weights)
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.mean(np.where(spread > 0, 1 - error / spread, 0.0)))

    def _shaped(self, X: ArrayLike, numbers: NDArray[Any]) -> None:
        self._begin(X, {"outputs": 1 if numbers.ndim == 1 else int(numbers.shape[-1])})
        self._flat = numbers.ndim == 1
