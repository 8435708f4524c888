"""Configurations: strict JSON in, canonical JSON out."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Mapping
from typing import Any

from ._errors import ArgumentError, check
from ._handle import Handle
from ._library import lib
from ._options import ModelConfig

__all__ = ["Config", "config_schema", "full_config"]


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
