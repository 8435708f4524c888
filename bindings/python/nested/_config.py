"""Configurations: strict JSON in, canonical JSON out."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import _library
from ._errors import ArgumentError, check
from ._handle import Handle
from ._library import lib
from ._options import ModelConfig

__all__ = ["Config", "Estimate", "config_schema", "estimate", "full_config"]


class Config(Handle):
    """A `nested_config`, for the time of one call; users have dicts."""

    _release = "nested_config_release"

    def __init__(self, config: ModelConfig | Mapping[str, Any]) -> None:
        text = to_json(config, "config")
        out = ctypes.c_void_p()
        check(lib.nested_config_from_json(text, len(text), ctypes.byref(out)))
        self._adopt(out)

    @classmethod
    def _from(cls, handle: ctypes.c_void_p) -> Config:
        config = cls.__new__(cls)
        config._adopt(handle)
        return config

    def to_dict(self) -> dict[str, Any]:
        """Every key present."""
        out = ctypes.c_void_p()
        check(lib.nested_config_to_json(self._handle, b"", ctypes.byref(out)))
        return dict(json.loads(blob_bytes(out)))


def to_json(value: ModelConfig | Mapping[str, Any], name: str) -> bytes:
    """JSON text of a dict; NumPy numbers and arrays are written as numbers and lists."""
    def plain(item: Any) -> Any:
        if hasattr(item, "tolist"):
            return item.tolist()
        raise TypeError(f"{type(item).__name__} cannot be written as JSON")

    if not isinstance(value, Mapping):
        raise TypeError(f"{name} is a dict, not {type(value).__name__}")
    try:
        return json.dumps(dict(value), default=plain, allow_nan=False).encode()
    except ValueError as failure:
        raise ArgumentError(str(failure), place=name) from None


def blob_bytes(handle: ctypes.c_void_p) -> bytes:
    """Copies a blob out and releases it."""
    try:
        return ctypes.string_at(lib.nested_blob_data(handle), lib.nested_blob_size(handle))
    finally:
        lib.nested_blob_release(handle)


def config_schema() -> dict[str, Any]:
    """JSON Schema of the configuration, with defaults, ranges and help.

    Returns
    -------
    dict
        As of the draft 2020-12.

    Examples
    --------
    >>> nested.config_schema()["properties"]["n_layers"]["default"]
    4
    """
    return dict(json.loads(lib.nested_config_schema()))


def full_config(config: ModelConfig | Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with every key present, presets and defaults filled in, and validated.

    Parameters
    ----------
    config : dict
        As for `Model`.

    Returns
    -------
    dict
        Equal for equal architectures.

    Raises
    ------
    ConfigError
        ``place`` is the JSON pointer of the culprit.

    Examples
    --------
    >>> nested.full_config({"preset": "hope-1m"})["d_model"]
    128
    >>> nested.full_config({"vocab": 256, "cms": {"levels": [{"chunk": -1}]}})
    Traceback (most recent call last):
    nested.ConfigError: ... (at /cms/levels/0/chunk) [NESTED_E_CONFIG]
    """
    with Config(config) as parsed:
        return parsed.to_dict()


@dataclass(frozen=True)
class Estimate:
    """What a configuration costs, within 5 %."""

    parameters: int
    """Elements of all weights."""
    weight_bytes: int
    """Of the weights."""
    trainer_bytes: int
    """Gradient and state of the default optimizer."""
    activation_bytes: int
    """Working memory of one training step."""
    session_bytes: int
    """State of one session after `length` tokens, once every level has learnt."""
    flops_forward: float
    """Per token."""
    flops_train: float
    """Per token, forward and backward."""


def estimate(
    config: ModelConfig | Mapping[str, Any], batch: int = 1, length: int = 1024,
) -> Estimate:
    """Counts what a model would cost, without making it.

    Parameters
    ----------
    config : dict
        As for `Model`.
    batch : int, default 1
        Sequences of a training step.
    length : int, default 1024
        Tokens of a sequence, and of a session's stream.

    Returns
    -------
    Estimate

    Raises
    ------
    ConfigError
        ``place`` is the JSON pointer of the culprit.
    ArgumentError
        `batch` or `length` is less than 1.

    Examples
    --------
    >>> cost = nested.estimate({"preset": "hope-1m"}, batch=8, length=256)
    >>> cost.parameters == nested.Model({"preset": "hope-1m"}).size
    True
    """
    record = _library.nested_estimate()
    with Config(config) as parsed:
        check(lib.nested_config_estimate(parsed._handle, batch, length, ctypes.byref(record)))
    return Estimate(
        record.n_params, record.weight_bytes, record.trainer_bytes, record.activation_bytes,
        record.session_bytes, record.flops_forward, record.flops_train)
