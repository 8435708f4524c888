"""The named tensors of a model."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import _library
from ._arrays import float_array, view
from ._errors import ArgumentError, check
from ._library import lib

if TYPE_CHECKING:
    from ._model import Model

__all__ = ["TensorInfo", "Tensors"]


@dataclass(frozen=True)
class TensorInfo:
    """Where a named tensor stands in the model."""

    name: str
    """Dotted and permanent, for example ``"blocks.0.cms.1.up.weight"``."""
    shape: tuple[int, ...]
    """At most six dimensions."""
    layer: int
    """Block, -1 outside the blocks."""
    level: int
    """CMS level, 0 is the fastest; -1 outside a CMS."""
    flat_offset: int
    """Its first element in `Model.parameters` and in `Trainer.flat_gradient`."""


class Tensors(Mapping[str, NDArray[np.float32]]):
    """The named tensors of a model: reading copies out, assigning copies in.

    Notes
    -----
    Values are float32 arrays.  Assigning takes numbers of any type and of the tensor's shape.
    Sessions that run at the time see the old or the new weights, never a mixture in one chunk; a
    trainer keeps its optimizer state.

    Examples
    --------
    >>> model.tensors["norm.weight"].shape
    (32,)
    >>> model.tensors["norm.weight"] = np.ones(32)
    >>> model.tensors["norm.weight"] = np.ones(31)
    Traceback (most recent call last):
    nested.ArgumentError: expected shape [32], got [31] (at norm.weight) [NESTED_E_SHAPE]
    >>> [name for name in model.tensors if ".cms.0." in name][0]
    'blocks.0.cms.0.norm.weight'
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._index: dict[str, tuple[int, TensorInfo]] = {}
        handle = model._handle
        for index in range(lib.nested_model_tensor_count(handle)):
            record = _library.nested_tensor_info()
            check(lib.nested_model_tensor_at(handle, index, ctypes.byref(record)))
            name = record.name.decode()
            self._index[name] = index, TensorInfo(
                name, tuple(record.shape[: record.ndim]), record.layer, record.level,
                record.flat_offset)

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        index, info = self._index[name]
        result = np.empty(info.shape, np.float32)
        check(lib.nested_model_tensor_get(
            self._model._handle, index, ctypes.byref(view(result))))
        return result

    def __setitem__(self, name: str, value: Any) -> None:
        index, info = self._index[name]
        array = float_array(value, name)
        if array.shape != info.shape:
            raise ArgumentError(
                f"expected shape {list(info.shape)}, got {list(array.shape)}",
                code=_library.NESTED_E_SHAPE, place=name)
        check(lib.nested_model_tensor_set(
            self._model._handle, index, ctypes.byref(view(array, _library.nested_cview))))

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def __len__(self) -> int:
        return len(self._index)

    def info(self, name: str) -> TensorInfo:
        """Shape, layer, level and flat position of one tensor, without copying it.

        Parameters
        ----------
        name : str

        Returns
        -------
        TensorInfo

        Raises
        ------
        KeyError
            There is no tensor of that name.
        """
        return self._index[name][1]

    def __repr__(self) -> str:
        return "\n".join(f"{i.name} {list(i.shape)}" for _, i in self._index.values())
