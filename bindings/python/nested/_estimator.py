"""What Classifier and Regressor share: continual learning behind the interface of scikit-learn.

They follow its conventions (`get_params`, trailing underscores, `partial_fit`) without importing it.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _library
from ._arrays import float_array
from ._errors import ArgumentError, Cancelled, Error, StateError
from ._estimator_files import load, save
from ._model import Model
from ._model_files import PathLike
from ._options import ModelConfig
from ._session import Session

Self = TypeVar("Self", bound="Estimator")

# Levels of an estimator whose configuration says nothing: one that learns at once, one slowly.
_DEFAULTS = {
    "d_model": 64,
    "cms": {"levels": [{"chunk": 8, "hidden": 64, "optimizer": "adam", "lr": 0.003},
                       {"chunk": 64, "hidden": 64, "optimizer": "adam", "lr": 0.001}]},
}


class Estimator:
    """What `Classifier` and `Regressor` share: a model, and the session that learns on it."""

    _estimator_type = ""
    _task = ""

    def __init__(
        self, config: ModelConfig | Mapping[str, Any] | None = None, *, epochs: int = 10,
        shuffle: bool = True, seed: int = 0,
    ) -> None:
        self.config = config
        self.epochs = epochs
        self.shuffle = shuffle
        self.seed = seed

    # Parameters, as scikit-learn's tools read and write them

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters of the constructor.

        Parameters
        ----------
        deep : bool, default True
            Changes nothing: no parameter is an estimator.

        Returns
        -------
        dict
        """
        names = inspect.signature(type(self).__init__).parameters
        return {name: getattr(self, name) for name in names if name != "self"}

    def set_params(self: Self, **params: Any) -> Self:
        """Sets parameters of the constructor; they count from the next `fit`.

        Parameters
        ----------
        **params
            As of the constructor.

        Returns
        -------
        self

        Raises
        ------
        ArgumentError
            There is no such parameter.
        """
        known = self.get_params()
        for name, value in params.items():
            if name not in known:
                raise ArgumentError(
                    f"{type(self).__name__} has no parameter {name!r}", place=name)
            setattr(self, name, value)
        return self

    # The state

    @property
    def session_(self) -> Session:
        """The session that has learnt; `StateError` before the first `fit` or `partial_fit`."""
        if not self.__sklearn_is_fitted__():
            raise StateError(
                f"this {type(self).__name__} has not learnt anything yet",
                code=_library.NESTED_E_STATE)
        session: Session = self.__dict__["_session"]
        return session

    @property
    def model_(self) -> Model:
        """The model that `session_` is on."""
        return self.session_.model

    def __sklearn_is_fitted__(self) -> bool:
        return "_session" in self.__dict__

    def __sklearn_tags__(self) -> Any:
        utils: Any = importlib.import_module("sklearn.utils")  # it asks, so it is there
        classifies = self._task == "classify"
        return utils.Tags(
            estimator_type=self._estimator_type, target_tags=utils.TargetTags(required=True),
            transformer_tags=None, classifier_tags=utils.ClassifierTags() if classifies else None,
            regressor_tags=None if classifies else utils.RegressorTags())

    @contextlib.contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """What is refused changes nothing; a call that was interrupted has learnt some rows."""
        before = dict(self.__dict__)
        try:
            yield
        except Error as failure:
            if not isinstance(failure, Cancelled):
                self.__dict__ = before
            raise

    def _begin(self, X: ArrayLike, outputs: dict[str, int]) -> None:
        """A fresh model for rows like X: vectors, or tokens where the configuration has a vocab."""
        config: dict[str, Any] = {"task": self._task, **outputs, **(self.config or {})}
        if not {"vocab", "inputs", "preset"} & set(config):
            width = np.shape(X)[-1] if np.ndim(X) > 1 else 1
            config = {"kind": "cms", "inputs": int(width), **_DEFAULTS, **config}
        self._session = Model(config, seed=self.seed).session(seed=self.seed)
        self.n_features_in_ = int(np.shape(X)[-1]) if np.ndim(X) > 1 else 1

    def _rows(self, X: ArrayLike) -> dict[str, Any]:
        array = np.asarray(X)
        if array.ndim < 2:
            raise ArgumentError(
                f"expected rows [B, N], got shape {list(array.shape)}: reshape(-1, 1) makes rows of "
                "one number each, reshape(1, -1) makes one row", code=_library.NESTED_E_SHAPE,
                place="X")
        if self.model_.n_inputs == 0:
            return {"tokens": array}
        if array.shape[-1] != self.model_.n_inputs:
            raise ArgumentError(
                f"X has {array.shape[-1]} features, but {type(self).__name__} is expecting "
                f"{self.model_.n_inputs} features as input", code=_library.NESTED_E_SHAPE, place="X")
        return {"inputs": array}

    def _learn(
        self, X: ArrayLike, labels: NDArray[Any], weights: ArrayLike | None, epochs: int,
    ) -> None:
        rows = self._rows(X)
        (name, array), = rows.items()
        if len(array) != len(labels):
            raise ArgumentError(
                f"X has {len(array)} rows and y {len(labels)}", code=_library.NESTED_E_SHAPE,
                place="y")
        if not len(array):
            raise ArgumentError("there are no rows", code=_library.NESTED_E_SHAPE, place="X")
        random = np.random.default_rng(self.seed)
        given = None if weights is None else float_array(weights, "sample_weight")
        for _ in range(epochs):
            order = np.arange(len(array))
            if self.shuffle and epochs > 1:
                random.shuffle(order)
            self.session_.teach(
                **{name: array[order]}, labels=labels[order],
                weights=None if given is None else given[order])

    def _answers(self, X: ArrayLike) -> NDArray[np.float32]:
        rows = self._rows(X)
        return self.session_.predict(**rows)

    def __repr__(self) -> str:
        default = inspect.signature(type(self).__init__).parameters
        told = [f"{name}={value!r}" for name, value in self.get_params().items()
                if value is not default[name].default]
        return f"{type(self).__name__}({', '.join(told)})"

    # Files

    def save(self, path: PathLike) -> None:
        """Writes parameters, model, session and labels into one file, whole or not at all.

        Parameters
        ----------
        path : path
            Replaced in one step.

        Raises
        ------
        ArgumentError
            A label is no text, number, bool or None: pickle the estimator instead.
        StateError
            It has not learnt anything yet.

        Notes
        -----
        The file is a zip archive of ``estimator.json`` and two safetensors files; reading it runs
        no code, which unpickling would.
        """
        save(self, path)

    @classmethod
    def load(cls: type[Self], path: PathLike) -> Self:
        """Reads what `save` wrote; it goes on learning where it was.

        Parameters
        ----------
        path : path

        Returns
        -------
        Classifier or Regressor
            Of the class that it is called on.

        Raises
        ------
        FileError
            The file is missing, foreign or damaged, or of another class.
        """
        return load(cls, path)


def floats(values: ArrayLike | None) -> NDArray[np.float64] | None:
    """Weights for NumPy's averages."""
    return None if values is None else np.asarray(values, np.float64)
