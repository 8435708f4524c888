"""Tokens and arrays on their way into and out of C."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Union

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _library
from ._errors import ArgumentError

__all__ = ["Tokens"]

Tokens = Union[bytes, bytearray, memoryview, NDArray[Any], Sequence[Any]]
"""Token ids: bytes (one token a byte), any integer array, or (nested) lists of these."""

Buffer = Union[bytes, bytearray, memoryview, NDArray[np.uint8]]
"""Contiguous bytes."""

_RANGE = _library.NESTED_E_RANGE
_SHAPE = _library.NESTED_E_SHAPE
_DTYPE = _library.NESTED_E_DTYPE
_DTYPES = {"float32": _library.NESTED_F32, "float64": _library.NESTED_F64,
           "float16": _library.NESTED_F16, "int32": _library.NESTED_I32,
           "int64": _library.NESTED_I64, "uint8": _library.NESTED_U8}


def tokens_array(tokens: Tokens, name: str = "tokens") -> NDArray[np.int32]:
    """Dense int32 ids; floats, text and numbers that an int32 cannot hold are refused."""
    if isinstance(tokens, str):
        raise ArgumentError(
            "token ids are numbers: encode the text first", code=_DTYPE, place=name)
    if isinstance(tokens, (bytes, bytearray, memoryview)):
        return np.frombuffer(tokens, np.uint8).astype(np.int32)
    if isinstance(tokens, (list, tuple)) and tokens and all(
            isinstance(row, (bytes, bytearray, memoryview)) for row in tokens):
        if len({len(row) for row in tokens}) > 1:
            raise ArgumentError("rows have different lengths", code=_SHAPE, place=name)
        return np.stack([np.frombuffer(row, np.uint8) for row in tokens]).astype(np.int32)
    try:
        array = np.asarray(tokens)
    except ValueError as failure:  # ragged lists
        raise ArgumentError(str(failure), code=_SHAPE, place=name) from None
    if array.size == 0:
        return np.zeros(array.shape, np.int32)
    if array.dtype.kind not in "iu":
        raise ArgumentError(
            f"token ids are integers, not {array.dtype}", code=_DTYPE, place=name)
    if array.dtype != np.int32 and (array.min() < -(2**31) or array.max() >= 2**31):
        raise ArgumentError("token id does not fit 32 bits", code=_RANGE, place=name)
    return np.ascontiguousarray(array, np.int32)


def stream_array(tokens: Tokens) -> NDArray[np.int32]:
    """Tokens of one stream, shape [n]."""
    array = tokens_array(tokens)
    if array.ndim != 1:
        raise ArgumentError(
            f"a stream has one dimension, got shape {list(array.shape)}", code=_SHAPE,
            place="tokens")
    return array


def rows_array(tokens: Tokens, name: str = "tokens") -> NDArray[np.int32]:
    """Tokens of a batch, shape [B, T]; one dimension is one row."""
    array = tokens_array(tokens, name)
    if array.ndim == 1:
        array = array[None, :]
    if array.ndim != 2:
        raise ArgumentError(
            f"a batch has two dimensions [B, T], got shape {list(array.shape)}", code=_SHAPE,
            place=name)
    return array


def vectors_array(value: Any, name: str = "inputs") -> NDArray[Any]:
    """Vectors [..., N] of a float type that C knows; bools and integers become float32."""
    array = np.asarray(value)
    if array.dtype.kind == "b" or array.dtype.name == "bfloat16":
        array = array.astype(np.float32)
    if array.ndim == 0:
        raise ArgumentError("expected vectors, got one number", code=_SHAPE, place=name)
    return float_array(array, name)


def stream_vectors(inputs: ArrayLike) -> NDArray[Any]:
    """Vectors of one stream, shape [n, N]; one dimension is one vector."""
    array = vectors_array(inputs)
    array = array[None, :] if array.ndim == 1 else array
    if array.ndim != 2:
        raise ArgumentError(
            f"a stream of vectors has two dimensions [n, N], got shape {list(array.shape)}",
            code=_SHAPE, place="inputs")
    return array


def bytes_array(data: Buffer) -> NDArray[np.uint8]:
    """The same memory as an array."""
    return np.frombuffer(data, np.uint8)


def pointer(array: NDArray[Any] | None) -> int | None:
    return None if array is None else array.ctypes.data


def view(array: NDArray[Any], kind: Any = None) -> Any:
    """A `nested_view` (or `nested_cview`) of a dense array; the array must outlive it."""
    kind = kind or _library.nested_view
    if array.ndim > _library.NESTED_MAX_DIMS:
        raise ArgumentError(f"at most {_library.NESTED_MAX_DIMS} dimensions", code=_SHAPE)
    result = kind(data=array.ctypes.data, dtype=_DTYPES[array.dtype.name], ndim=array.ndim)
    for axis, size in enumerate(array.shape):
        result.shape[axis] = size
    return result


def float_array(value: Any, name: str) -> NDArray[Any]:
    """A dense float array of an element type that C knows (others become float32)."""
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise ArgumentError(f"expected numbers, not {array.dtype}", code=_DTYPE, place=name)
    known = array.dtype.name if array.dtype.name in ("float16", "float32", "float64") else (
        "float64" if array.dtype.kind == "f" else "float32")
    shape = array.shape
    return np.ascontiguousarray(array, np.dtype(known)).reshape(shape)  # native byte order
